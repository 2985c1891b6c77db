import { MikroORM } from '@mikro-orm/core';
import { Migrator } from '@mikro-orm/migrations';
import { PostgreSqlDriver } from '@mikro-orm/postgresql';
import { PostgresDialect } from 'kysely';
import type { OpenDatabaseOptions } from '../database.ts';
import { createPool } from './pool.ts';

export interface MigrateOptions extends Pick<OpenDatabaseOptions, 'name' | 'migrations' | 'log'> {
  readonly url: string;
  readonly schema: string;
}

/** Any number that nobody else locks in this database. */
const lockSpace = 0x41676e74;

/**
 * Brings the schema up to date. Processes that start at once do so one after the other: a lock is held by an open
 * transaction meanwhile, because a transaction stays on one connection even where a pooler is in between.
 */
export async function migrate(options: MigrateOptions): Promise<void> {
  const { schema, log } = options;
  const pool = createPool({
    url: options.url,
    maxConnections: 2,
    applicationName: `${schema}_migrations`,
    log,
  });
  try {
    const lock = await pool.connect();
    try {
      await lock.query('begin');
      await lock.query('select pg_advisory_xact_lock($1, hashtext($2))', [lockSpace, schema]);
      const orm = await MikroORM.init({
        driver: PostgreSqlDriver,
        dbName: databaseName(options.url),
        driverOptions: new PostgresDialect({ pool }),
        entities: [],
        discovery: { warnWhenNoEntities: false },
        extensions: [Migrator],
        migrations: { migrationsList: [...options.migrations], snapshot: false, schema },
        logger: (message) => log.debug(message),
      });
      await orm.migrator.up();
      await lock.query('commit');
    } finally {
      // Closing the connection ends its transaction, whatever happened.
      lock.release(true);
    }
  } finally {
    await pool.end();
  }
}

export function databaseName(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}
