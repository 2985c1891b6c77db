import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import pg from 'pg';
import { waitFor } from '../processes/wait-for.ts';

export type Row = Readonly<Record<string, unknown>>;

/** Every row of every table of the three stores, by `store.table`; rows in the order of their keys. */
export type Stored = Readonly<Record<string, readonly Row[]>>;

const STORES = ['session', 'stats', 'state'] as const;
/** What the migrations keep for themselves. */
const isOwn = (table: string) => !/migration|^sqlite_/.test(table);

/** Reads the databases of a desktop directly. Read-only. */
export function readSqlite(folder: string): Stored {
  const stored: Record<string, Row[]> = {};
  for (const store of STORES) {
    const file = join(folder, `${store}.db`);
    if (!existsSync(file)) throw new Error(`there is no database ${file}`);
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const tables = database.prepare(`select name from sqlite_schema where type = 'table'`).all();
      for (const table of tables.map(({ name }) => String(name)).filter(isOwn)) {
        const keys = database
          .prepare(`select name from pragma_table_info(?) where pk > 0 order by pk`)
          .all(table)
          .map(({ name }) => String(name));
        const rows = database.prepare(`select * from "${table}" ${orderBy(keys)}`).all();
        stored[`${store}.${table}`] = rows.map((row) => ({ ...row }));
      }
    } finally {
      database.close();
    }
  }
  return stored;
}

/** Reads the schemas of the stores directly, past row-level security: `url` is the superuser's. */
export async function readPostgres(url: string): Promise<Stored> {
  const client = new pg.Client({ connectionString: url });
  // int8: every number that the stores keep fits.
  const types = new pg.TypeOverrides();
  types.setTypeParser(pg.types.builtins.INT8, Number);
  await client.connect();
  try {
    const stored: Record<string, Row[]> = {};
    const tables = await client.query<{ schema: string; table: string; keys: string[] }>(
      `select n.nspname as schema, c.relname as table,
          array(select a.attname::text from pg_index i
            cross join lateral unnest(i.indkey) with ordinality as k(attnum, place)
            join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
            where i.indrelid = c.oid and i.indisprimary order by k.place) as keys
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind = 'r' and n.nspname like 'agentx\\_%'`,
    );
    for (const { schema, table, keys } of tables.rows) {
      if (!isOwn(table)) continue;
      const text = `select * from "${schema}"."${table}" ${orderBy(keys)}`;
      const { rows } = await client.query<Row>({ text, types });
      stored[`${schema.replace('agentx_', '')}.${table}`] = rows;
    }
    return stored;
  } finally {
    await client.end();
  }
}

const orderBy = (keys: readonly string[]) =>
  keys.length === 0 ? '' : `order by ${keys.map((key) => `"${key}"`).join(', ')}`;

/** Waits until the statistics and state stores of a running system have been told everything. */
export async function waitForOutbox(read: () => Stored | Promise<Stored>): Promise<void> {
  await waitFor(async () => (await read())['session.outbox']?.length === 0, {
    what: 'the outbox to be empty',
  });
}
