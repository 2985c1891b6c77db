import { join, resolve } from 'node:path';
import { MikroORM } from '@mikro-orm/core';
import { Migrator } from '@mikro-orm/migrations';
import { SqliteDriver } from '@mikro-orm/sql';
import { sql } from 'kysely';
import type { Database, OpenDatabaseOptions } from '../database.ts';
import { closedError, domainErrorOf, TransactionMisuseError } from '../errors.ts';
import { createConnectionDialect, createKysely } from '../kysely.ts';
import type { DatabaseObserver } from '../observed.ts';
import { createOutcomeRecord } from '../outcome.ts';
import type { OpenTransaction, TransactionConnection } from '../transaction.ts';
import { createTransaction, statementParts } from '../transaction.ts';
import { openSqlite } from './connection.ts';
import type { SqliteConnection } from './connection.ts';
import { sqliteErrorKind } from './errors.ts';
import { lockData } from './lock.ts';
import type { QueuedWork } from './write-queue.ts';
import { createWriteQueue } from './write-queue.ts';

export async function openSqliteDatabase(folder: string, options: OpenDatabaseOptions): Promise<Database> {
  const path = resolve(folder);
  const lock = lockData(path, options.name);
  let connection: SqliteConnection | undefined;
  try {
    const file = join(path, `${options.name}.db`);
    connection = openSqlite(file);
    const orm = await openOrm(file, connection, options);
    await orm.migrator.up();
    connection.database.exec('pragma query_only = 1');
    return createDatabase(connection, orm, options.observer, () => {
      connection?.database.close();
      lock.release();
    });
  } catch (error) {
    connection?.database.close();
    lock.release();
    throw error;
  }
}

function openOrm(file: string, connection: SqliteConnection, options: OpenDatabaseOptions) {
  return MikroORM.init({
    driver: SqliteDriver,
    dbName: file,
    driverOptions: createConnectionDialect('sqlite', connection),
    entities: [...options.entities],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
    extensions: [Migrator],
    migrations: { migrationsList: [...options.migrations], snapshot: false },
    logger: (message) => options.log.debug(message),
  });
}

function createDatabase(
  connection: SqliteConnection,
  orm: MikroORM,
  observer: DatabaseObserver | undefined,
  release: () => void,
): Database {
  const kysely = createKysely('sqlite', connection);
  const parts = { dialect: 'sqlite', orm, schema: undefined, compiler: kysely } as const;
  const queue = createWriteQueue(connection.database, observer?.grouped);
  const outcome = createOutcomeRecord(() => database.read({ sweeper: true }, (tx) => tx.rows(sql`select 1`)));
  const writing: TransactionConnection = {
    rows: (text, parameters) => Promise.try(() => connection.rows(text, parameters)),
    kysely: () => kysely,
  };
  const reading: TransactionConnection = {
    rows: (text, parameters) =>
      Promise.try(() => {
        if (queue.groupOpen) throw outlived();
        return connection.rows(text, parameters);
      }),
    kysely: () => kysely,
  };

  async function record<T>(result: Promise<T>): Promise<T> {
    try {
      const value = await result;
      outcome.succeeded();
      return value;
    } catch (error) {
      const kind = sqliteErrorKind(error);
      outcome.failed(kind, error);
      throw domainErrorOf(kind, error);
    }
  }

  let closing: Promise<void> | undefined;
  async function close() {
    await queue.close();
    outcome.close();
    await orm.close();
    release();
  }
  const database: Database = {
    dialect: 'sqlite',
    transaction: (_scope, work) => record(queue.write(queuedWork(createTransaction(parts, writing), work))),
    statement: (_scope, build) => {
      const { sql: text, parameters } = build(statementParts(parts)).compile(kysely);
      return record(
        queue.write({ run: () => writing.rows(text, parameters), end: () => undefined }),
      ) as never;
    },
    read: async (_scope, work) => {
      await queue.settled();
      if (closing !== undefined) throw closedError();
      const transaction = createTransaction(parts, reading);
      return record(work(transaction.tx)).finally(() => transaction.end());
    },
    get lastOutcome() {
      return outcome.last;
    },
    onOutcomeChange: outcome.onChange,
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => database.close(),
  };
  return database;
}

function queuedWork<T>(
  transaction: OpenTransaction,
  work: (tx: OpenTransaction['tx']) => Promise<T>,
): QueuedWork<T> {
  return {
    async run() {
      const value = await work(transaction.tx);
      await transaction.flush();
      return value;
    },
    end: () => transaction.end(),
  };
}

function outlived(): TransactionMisuseError {
  return new TransactionMisuseError(
    'a read awaited something else than its transaction and would now see rows that are not committed',
  );
}
