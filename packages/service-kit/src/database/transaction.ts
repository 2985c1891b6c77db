import type { EntityManager, MikroORM } from '@mikro-orm/core';
import type { Kysely, RawBuilder } from 'kysely';
import { sql } from 'kysely';
import type { DialectName, Transaction } from './database.ts';
import { TransactionMisuseError } from './errors.ts';

export interface TransactionParts {
  readonly dialect: DialectName;
  readonly orm: MikroORM;
  /** The schema of the tables on PostgreSQL. */
  readonly schema: string | undefined;
  /** Compiles statements; need not be connected. */
  readonly compiler: Kysely<unknown>;
}

/** What a transaction runs on. */
export interface TransactionConnection {
  rows(text: string, parameters: readonly unknown[]): Promise<unknown[]>;
  /** Of the transaction's connection, for the entity manager; asked for only when one is used. */
  kysely(): Kysely<unknown>;
}

export interface OpenTransaction {
  readonly tx: Transaction;
  /** Writes what the entity manager collected. */
  flush(): Promise<void>;
  /** From here on every use throws. */
  end(): void;
}

export function createTransaction(
  parts: TransactionParts,
  connection: TransactionConnection,
): OpenTransaction {
  let over = false;
  let em: EntityManager | undefined;
  const tx: Transaction = {
    ...statementParts(parts),
    get nowMs() {
      return nowMs(parts.dialect);
    },
    get em() {
      if (over) throw misuse();
      em ??= createEntityManager(parts.orm, connection.kysely());
      return em;
    },
    async rows<T>(query: RawBuilder<T>) {
      if (over) throw misuse();
      const { sql: text, parameters } = query.compile(parts.compiler);
      return (await connection.rows(text, parameters)) as T[];
    },
  };
  return {
    tx,
    async flush() {
      await em?.flush();
    },
    end() {
      over = true;
      em?.setTransactionContext(endedContext);
    },
  };
}

/** The part of a transaction that builds statements. */
export function statementParts(parts: TransactionParts): Pick<Transaction, 'dialect' | 'table' | 'nowMs'> {
  const { dialect, schema } = parts;
  return {
    dialect,
    table: (name) => (schema === undefined ? sql.id(name) : sql.id(schema, name)),
    get nowMs() {
      return nowMs(dialect);
    },
  };
}

// clock_timestamp() goes on within a transaction; now() would stand still at its begin.
const serverNowMs = sql<number>`(extract(epoch from clock_timestamp()) * 1000)::bigint`;

function nowMs(dialect: DialectName): RawBuilder<number> {
  return dialect === 'sqlite' ? sql<number>`${Date.now()}` : serverNowMs;
}

function createEntityManager(orm: MikroORM, kysely: Kysely<unknown>): EntityManager {
  const em = orm.em.fork();
  em.setTransactionContext(kysely);
  return em;
}

function misuse(): TransactionMisuseError {
  return new TransactionMisuseError(
    'this transaction is over: use it only inside the work it was given to, and await every call',
  );
}

/** Stands for the connection in an entity manager whose transaction is over. */
const endedContext = new Proxy(
  {},
  {
    get() {
      throw misuse();
    },
  },
);
