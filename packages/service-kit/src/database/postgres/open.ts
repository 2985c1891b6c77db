import { setTimeout as delay } from 'node:timers/promises';
import { MikroORM } from '@mikro-orm/core';
import { PostgreSqlDriver } from '@mikro-orm/postgresql';
import { sql } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import type { Database, OpenDatabaseOptions, Transaction } from '../database.ts';
import { closedError, domainErrorOf } from '../errors.ts';
import { createCompiler, createUnconnectedDialect } from '../kysely.ts';
import { createOutcomeRecord } from '../outcome.ts';
import type { OpenTransaction } from '../transaction.ts';
import { createTransaction, statementParts } from '../transaction.ts';
import { createPostgresConnection, queryRows } from './connection.ts';
import { postgresErrorKind } from './errors.ts';
import { databaseName, migrate } from './migrate.ts';
import { createPool } from './pool.ts';
import { inTransaction, SessionError, withConnection } from './session.ts';

const defaultPoolSize = 10;
const defaultTimeoutMs = 30_000;
const maxAttempts = 5;

export async function openPostgresDatabase(options: OpenDatabaseOptions): Promise<Database> {
  const { url, name, log } = options;
  const schema = `agentx_${name}`;
  await migrate({ ...options, url: options.directUrl ?? url, schema }).catch((error: unknown) => {
    throw startErrorOf(error);
  });
  const maxConnections = options.poolSize ?? defaultPoolSize;
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const pool = createPool({ url, maxConnections, connectTimeoutMs: timeoutMs, applicationName: schema, log });
  const orm = await MikroORM.init({
    driver: PostgreSqlDriver,
    dbName: databaseName(url),
    schema,
    driverOptions: createUnconnectedDialect('postgresql'),
    entities: [...options.entities],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
    logger: (message) => log.debug(message),
  });
  return createDatabase(pool, orm, schema, timeoutMs);
}

function createDatabase(pool: Pool, orm: MikroORM, schema: string, timeoutMs: number): Database {
  const parts = { dialect: 'postgresql', orm, schema, compiler: createCompiler('postgresql') } as const;
  const outcome = createOutcomeRecord(() => database.read((tx) => tx.rows(sql`select 1`)));
  let closing: Promise<void> | undefined;
  async function close(): Promise<void> {
    // Waits for the connections that are in use.
    await pool.end();
    outcome.close();
    await orm.close();
  }

  /** One attempt on a connection: what comes out is the error of the work, or that of the database in our words. */
  async function run<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (closing !== undefined) throw closedError();
    try {
      const value = await withConnection(pool, timeoutMs, work);
      outcome.succeeded();
      return value;
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      outcome.failed(error.kind, error.cause);
      if (error.kind === 'retryable') throw error;
      throw domainErrorOf(error.kind, error.cause);
    }
  }

  const database: Database = {
    dialect: 'postgresql',
    transaction: (work) =>
      retried(() =>
        run((client) =>
          inTransaction(client, () =>
            runWork(createTransaction(parts, createPostgresConnection(client)), work),
          ),
        ),
      ),
    statement: (build) => {
      const { sql: text, parameters } = build(statementParts(parts)).compile(parts.compiler);
      return retried(() => run((client) => queryRows(client, text, parameters))) as never;
    },
    read: (work) =>
      run((client) => runWork(createTransaction(parts, createPostgresConnection(client)), work)),
    get lastOutcome() {
      return outcome.last;
    },
    onOutcomeChange: outcome.onChange,
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => database.close(),
  };
  return database;
}

async function runWork<T>(transaction: OpenTransaction, work: (tx: Transaction) => Promise<T>): Promise<T> {
  try {
    const value = await work(transaction.tx);
    await transaction.flush();
    return value;
  } finally {
    transaction.end();
  }
}

/** Why the data cannot be used from the start, for the person who starts the process. */
function startErrorOf(error: unknown): unknown {
  const kind = postgresErrorKind(error, false);
  return kind === 'other' ? error : domainErrorOf(kind, error);
}

/** Repeats what the server rolled back only because of others: deadlocks and serialization failures. */
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      if (attempts === maxAttempts) throw domainErrorOf(error.kind, error.cause);
      await delay(Math.random() * 10 * 2 ** attempts);
    }
  }
}
