/** The tables of the three stores, and rows for them that nobody's code made. */
import { createLogger, openDatabase } from '@agentx/service-kit';
import type { Database, MigrationEntry, Transaction } from '@agentx/service-kit';
import { sql } from 'kysely';
import { migrations as session } from '../../services/session-store/src/store/migrations/index.ts';
import { migrations as state } from '../../services/state-store/src/store/migrations/index.ts';
import { migrations as stats } from '../../services/stats-store/src/store/migrations/index.ts';

export const stores = { session, stats, state } as const satisfies Record<string, readonly MigrationEntry[]>;
export type StoreName = keyof typeof stores;
export const storeNames = Object.keys(stores) as StoreName[];

const log = createLogger({ name: 'test', level: 'silent' });

export type Row = Record<string, unknown>;

/** Opens a store's data at a version of its schema: after so many migrations, or after all. */
export const openAt = (name: StoreName, url: string, version?: number): Promise<Database> =>
  openDatabase({ url, name, entities: [], migrations: stores[name].slice(0, version), log });

interface Column {
  readonly name: string;
  readonly type: string;
}

export async function tablesOf(tx: Transaction): Promise<string[]> {
  const rows = await tx.rows(
    tx.dialect === 'sqlite'
      ? sql<{ name: string }>`select name from sqlite_schema where type = 'table' order by name`
      : sql<{
          name: string;
        }>`select tablename as name from pg_tables where schemaname like 'agentx%' order by tablename`,
  );
  return rows.map(({ name }) => name).filter((name) => !/migration|^sqlite_/.test(name));
}

const columnsOf = (tx: Transaction, table: string): Promise<Column[]> =>
  tx.rows(
    tx.dialect === 'sqlite'
      ? sql<Column>`select name, lower(type) as type from pragma_table_info(${table}) order by cid`
      : sql<Column>`select column_name as name, data_type as type from information_schema.columns
          where table_schema like 'agentx%' and table_name = ${table} order by ordinal_position`,
  );

function valueOf({ name, type }: Column, tenantId: string): string | number | Uint8Array {
  if (name === 'tenant_id') return tenantId;
  if (type.startsWith('text')) return `${name}-1`;
  return type === 'bytea' || type === 'blob' ? new Uint8Array([1, 2, 3]) : 7;
}

/** Writes a row of a tenant, with a value in every column. */
export async function insertSample(tx: Transaction, table: string, tenantId: string): Promise<void> {
  const columns = await columnsOf(tx, table);
  await tx.rows(
    sql`insert into ${tx.table(table)} (${sql.join(columns.map(({ name }) => sql.ref(name)))})
        values (${sql.join(columns.map((column) => valueOf(column, tenantId)))})`,
  );
}

/** All that a table shows, with no condition. */
export async function readAll(tx: Transaction, table: string): Promise<Row[]> {
  const rows = await tx.rows(sql<Row>`select * from ${tx.table(table)} order by tenant_id`);
  return rows.map((row) => ({ ...row }));
}
