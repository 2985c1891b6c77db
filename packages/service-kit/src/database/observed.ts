import type { Database } from './database.ts';

/** Sees what a database does, for metrics. Must not throw. */
export interface DatabaseObserver {
  /** A use has ended, so long after it was asked for; with an error where it failed. */
  readonly used: (kind: 'transaction' | 'statement' | 'read', durationMs: number, error: unknown) => void;
  /** SQLite: so many works go into one commit. */
  readonly grouped: (works: number) => void;
  /** PostgreSQL: how to count the connections of the pool, at any time. */
  readonly pooled: (count: () => PoolCounts) => void;
}

/** Connections of a pool, and works that wait for one. */
export interface PoolCounts {
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

/** The same database, with every use told to the observer. */
export function observeDatabase(database: Database, observer: DatabaseObserver): Database {
  async function timed<T>(kind: Parameters<DatabaseObserver['used']>[0], use: () => Promise<T>): Promise<T> {
    const startMs = performance.now();
    try {
      const value = await use();
      observer.used(kind, performance.now() - startMs, undefined);
      return value;
    } catch (error) {
      observer.used(kind, performance.now() - startMs, error);
      throw error;
    }
  }
  return {
    dialect: database.dialect,
    transaction: (scope, work) => timed('transaction', () => database.transaction(scope, work)),
    statement: (scope, build) => timed('statement', () => database.statement(scope, build)),
    read: (scope, work) => timed('read', () => database.read(scope, work)),
    get lastOutcome() {
      return database.lastOutcome;
    },
    onOutcomeChange: (listener) => database.onOutcomeChange(listener),
    close: () => database.close(),
    [Symbol.asyncDispose]: () => database.close(),
  };
}
