import {
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from 'kysely';
import type { DatabaseConnection, Dialect, Driver } from 'kysely';
import { CompiledQuery } from 'kysely';
import type { DialectName } from './database.ts';

/** A Kysely dialect over one connection that somebody else opened, guards and closes. */
export function createConnectionDialect(name: DialectName, connection: DatabaseConnection): Dialect {
  const sqlite = name === 'sqlite';
  return {
    createAdapter: () => (sqlite ? new UnguardedSqliteAdapter() : new PostgresAdapter()),
    createDriver: () => createConnectionDriver(connection),
    createQueryCompiler: () => (sqlite ? new SqliteQueryCompiler() : new PostgresQueryCompiler()),
    createIntrospector: (db) => (sqlite ? new SqliteIntrospector(db) : new PostgresIntrospector(db)),
  };
}

export function createKysely(name: DialectName, connection: DatabaseConnection): Kysely<unknown> {
  return new Kysely({ dialect: createConnectionDialect(name, connection) });
}

/** Runs nothing: for an ORM or a compiler whose statements all run on a transaction's connection. */
export function createUnconnectedDialect(name: DialectName): Dialect {
  const refuse = () => {
    throw new Error('a statement was run outside a transaction');
  };
  return createConnectionDialect(name, { executeQuery: refuse, streamQuery: refuse });
}

export function createCompiler(name: DialectName): Kysely<unknown> {
  return new Kysely({ dialect: createUnconnectedDialect(name) });
}

/** Without Kysely's mutex around the only connection: the write queue is the guard, and it knows whole groups. */
class UnguardedSqliteAdapter extends SqliteAdapter {
  override get supportsMultipleConnections(): boolean {
    return true;
  }
}

function createConnectionDriver(connection: DatabaseConnection): Driver {
  const run = async (text: string) => {
    await connection.executeQuery(CompiledQuery.raw(text));
  };
  return {
    init: () => Promise.resolve(),
    acquireConnection: () => Promise.resolve(connection),
    beginTransaction: () => run('begin'),
    commitTransaction: () => run('commit'),
    rollbackTransaction: () => run('rollback'),
    savepoint: (_, name) => run(`savepoint "${name}"`),
    rollbackToSavepoint: (_, name) => run(`rollback to "${name}"`),
    releaseSavepoint: (_, name) => run(`release "${name}"`),
    releaseConnection: () => Promise.resolve(),
    destroy: () => Promise.resolve(),
  };
}
