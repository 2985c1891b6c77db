import { MikroORM } from '@mikro-orm/core';
import { Migrator } from '@mikro-orm/migrations';
import type { Migration } from '@mikro-orm/migrations';
import { PostgreSqlDriver } from '@mikro-orm/postgresql';
import { PostgresDialect } from 'kysely';
import pg from 'pg';
import type { MigrationEntry, OpenDatabaseOptions } from '../database.ts';
import { createPool } from './pool.ts';

export interface MigrateOptions extends Pick<OpenDatabaseOptions, 'name' | 'migrations' | 'log'> {
  readonly url: string;
  readonly schema: string;
  /** The role that the service works as. Where it is not the one that migrates, it is given its rights. */
  readonly serviceRole: string;
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
        migrations: { migrationsList: options.migrations.map(withoutBlindness), snapshot: false, schema },
        logger: (message) => log.debug(message),
      });
      await orm.migrator.up();
      await grantRights(lock, schema, options.serviceRole);
      await lock.query('commit');
    } finally {
      // Closing the connection ends its transaction, whatever happened.
      lock.release(true);
    }
  } finally {
    await pool.end();
  }
}

/**
 * A migration that changes rows under row-level security would silently find none, because it acts for no tenant: with
 * `row_security` off such a statement fails instead. (Take `force row level security` off the table meanwhile.)
 */
function withoutBlindness({ name, class: Declared }: MigrationEntry): MigrationEntry {
  class Seeing extends Declared {
    override async up(): Promise<void> {
      this.addSql('set local row_security = off');
      await (Declared.prototype as Migration).up.call(this);
    }
  }
  return { name, class: Seeing };
}

/** A service whose role does not own the tables cannot take their row-level security away. */
async function grantRights(client: pg.ClientBase, schema: string, role: string): Promise<void> {
  const { rows } = await client.query<{ me: string }>('select current_user as me');
  if (rows[0]?.me === role) return;
  const [inSchema, to] = [pg.escapeIdentifier(schema), pg.escapeIdentifier(role)];
  await client.query(`grant usage on schema ${inSchema} to ${to}`);
  await client.query(`grant select, insert, update, delete on all tables in schema ${inSchema} to ${to}`);
  await client.query(`revoke insert, update, delete on ${inSchema}.mikro_orm_migrations from ${to}`);
}

export function databaseName(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}
