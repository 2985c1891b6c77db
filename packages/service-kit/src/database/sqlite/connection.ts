import { DatabaseSync } from 'node:sqlite';
import type { SQLInputValue, StatementSync } from 'node:sqlite';
import type { DatabaseConnection, QueryResult } from 'kysely';
import type { BindValue } from '../parameters.ts';
import { checkParameters } from '../parameters.ts';

/** The one connection of a SQLite database. All of it is synchronous underneath. */
export interface SqliteConnection extends DatabaseConnection {
  readonly database: DatabaseSync;
  /** Runs a statement through the cache of prepared statements. */
  rows(text: string, parameters: readonly unknown[]): unknown[];
}

const maxCachedStatements = 256;
const maxWalBytes = 64 * 1024 * 1024;

/**
 * Opens (or creates) the file in a folder that exists: every commit is synced, readers outside do not block us, foreign keys hold.
 * `busy_timeout` is short because waiting for another process's write would stop the whole event loop.
 */
export function openSqlite(file: string): SqliteConnection {
  const database = new DatabaseSync(file);
  database.exec(`
    pragma busy_timeout = 250;
    pragma journal_mode = wal;
    pragma synchronous = full;
    pragma foreign_keys = on;
    pragma journal_size_limit = ${maxWalBytes};
  `);
  const cache = new Map<string, StatementSync>();

  const prepare = (text: string): StatementSync => {
    let statement = cache.get(text);
    if (statement === undefined) {
      statement = database.prepare(text);
      const oldest = cache.size < maxCachedStatements ? undefined : cache.keys().next().value;
      if (oldest !== undefined) cache.delete(oldest);
    } else {
      cache.delete(text);
    }
    cache.set(text, statement);
    return statement;
  };

  return {
    database,
    rows: (text, parameters) => prepare(text).all(...bind(parameters)),
    // Statements of the entity manager come with their values in the text: caching them would only push others out.
    executeQuery: ({ sql, parameters }) =>
      Promise.try(() => execute(database.prepare(sql), bind(parameters))),
    streamQuery: () => {
      throw new Error('streaming rows is not supported: page with a limit');
    },
  };
}

function execute(statement: StatementSync, values: SQLInputValue[]): QueryResult<never> {
  if (statement.columns().length > 0) return { rows: statement.all(...values) as never[] };
  const { changes, lastInsertRowid } = statement.run(...values);
  return { rows: [], numAffectedRows: BigInt(changes), insertId: BigInt(lastInsertRowid) };
}

function bind(parameters: readonly unknown[]): SQLInputValue[] {
  checkParameters(parameters);
  return parameters.map(sqliteValue);
}

function sqliteValue(value: BindValue): SQLInputValue {
  return typeof value === 'boolean' ? Number(value) : value;
}
