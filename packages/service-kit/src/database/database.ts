import type { EntityManager, EntitySchema } from '@mikro-orm/core';
import type { Migration } from '@mikro-orm/migrations';
import type { RawBuilder } from 'kysely';
import type { Logger } from 'pino';
import type { DatabaseObserver } from './observed.ts';

export type DialectName = 'sqlite' | 'postgresql';

/**
 * For whom the database is used. PostgreSQL shows and changes no rows besides, whatever a statement says; SQLite, which
 * serves one person, relies on the statements.
 */
export type Scope =
  | { readonly tenantId: string }
  /** Work that crosses tenants: rows of all of them, as far as the migrations give the sweeper a right. */
  | { readonly sweeper: true };

export interface MigrationEntry {
  /** Ordered and unique, for example `0001-first`. Never changes once released. */
  readonly name: string;
  readonly class: new (...args: ConstructorParameters<typeof Migration>) => Migration;
}

export interface OpenDatabaseOptions {
  /** `sqlite:FOLDER` (the file is FOLDER/NAME.db) or `postgres://…` (the schema is agentx_NAME). */
  readonly url: string;
  /** PostgreSQL behind a pooler: the server's own address, for migrations. Default: `url`. */
  readonly directUrl?: string | undefined;
  /** Lower-case word: `session`, `stats`, `state`. */
  readonly name: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- schemas of different entities share no type
  readonly entities: readonly EntitySchema<any, any>[];
  /** In the order in which they run. One history for both dialects. */
  readonly migrations: readonly MigrationEntry[];
  readonly log: Logger;
  /** PostgreSQL: connections at most. Default: 10. */
  readonly poolSize?: number | undefined;
  /** PostgreSQL: a transaction or read that takes longer fails with UNAVAILABLE. Default: 30,000. */
  readonly timeoutMs?: number | undefined;
  /** Told of every use, for metrics. */
  readonly observer?: DatabaseObserver | undefined;
}

export interface Outcome {
  readonly ok: boolean;
  readonly at: Date;
  /** What failed, for people. Only where `ok` is false. */
  readonly error?: string;
}

/**
 * One service's data. Errors of the database come out of `transaction`, `statement` and `read` as
 * - DomainError UNAVAILABLE `DATABASE_UNAVAILABLE`: it cannot be reached, shuts down, has no connection left, or took
 *   too long. After a transaction it is not known whether the commit happened: repeat it by an idempotent key.
 * - DomainError RESOURCE_EXHAUSTED `DATABASE_FULL`: no space is left.
 * - UniqueViolationError: the row is there already.
 *
 * What the work itself throws comes out as it is, and nothing of the work remains.
 */
export interface Database extends AsyncDisposable {
  readonly dialect: DialectName;
  /**
   * Runs the work in a transaction and resolves once it is durable.
   *
   * The work must await nothing but the transaction it is given: on SQLite, where all works that wait at the same
   * moment share one commit, it fails otherwise. It may run several times (PostgreSQL's deadlocks and serialization
   * failures are retried), so it changes nothing outside. Entities of `em` are flushed at its end.
   */
  transaction<T>(scope: Scope, work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** One statement in a transaction of its own: on PostgreSQL a single round trip. Resolves once it is durable. */
  statement<T>(
    scope: Scope,
    build: (tx: Pick<Transaction, 'dialect' | 'table' | 'nowMs'>) => RawBuilder<T>,
  ): Promise<T[]>;
  /**
   * Runs a work that writes nothing and sees committed rows only. It must await nothing but the transaction.
   * SQLite: all its statements see the same moment. PostgreSQL: each statement sees what was committed as it began.
   */
  read<T>(scope: Scope, work: (tx: Transaction) => Promise<T>): Promise<T>;
  /** How the last use of the database went. Health is derived from it, so that nobody wakes an idle database. */
  readonly lastOutcome: Outcome | undefined;
  /**
   * Calls back when uses of the database begin to fail and when they succeed again, until the function that it returns
   * is called. While they fail the database is asked again, after longer and longer pauses; while they succeed never.
   */
  onOutcomeChange(listener: (ok: boolean) => void): () => void;
  /** Waits for what is running, refuses what comes, and lets go of the data. May be called twice. */
  close(): Promise<void>;
}

export interface Transaction {
  readonly dialect: DialectName;
  /** Bound to this transaction and unusable after it. Costs nothing until it is used. */
  readonly em: EntityManager;
  /**
   * Runs kysely's sql`…` with real bind parameters, the same text on both dialects.
   * Parameters: string, number, bigint, boolean, Uint8Array, null. Anything else throws a TypeError.
   * Rows: bigint columns come back as numbers (beyond 2^53 they throw; cast such sums to text), blobs as Uint8Array.
   */
  rows<T>(query: RawBuilder<T>): Promise<T[]>;
  /** The table's name for use in sql`…`: qualified on PostgreSQL (agentx_session.lease), plain on SQLite. */
  table(name: string): RawBuilder<unknown>;
  /** The database's clock in milliseconds since the epoch; on SQLite the process's. */
  readonly nowMs: RawBuilder<number>;
}
