/** Small pieces that the statements of the turn log share. */
import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { Transaction } from '@agentx/service-kit';

type Value = string | number | bigint | Uint8Array | null | RawBuilder<unknown>;

/** Inserts one row; columns are the object's keys. */
export async function insertRow(
  tx: Transaction,
  table: string,
  row: Readonly<Record<string, Value>>,
): Promise<void> {
  await tx.rows(insertion(tx, table, row));
}

/** Inserts one row unless its key is taken. False when it is. */
export async function insertNewRow(
  tx: Transaction,
  table: string,
  row: Readonly<Record<string, Value>>,
): Promise<boolean> {
  const rows = await tx.rows(sql`${insertion(tx, table, row)} on conflict do nothing returning tenant_id`);
  return rows.length > 0;
}

function insertion(
  tx: Transaction,
  table: string,
  row: Readonly<Record<string, Value>>,
): RawBuilder<unknown> {
  const columns = Object.keys(row);
  return sql`insert into ${tx.table(table)} (${sql.join(columns.map((column) => sql.ref(column)))})
        values (${sql.join(columns.map((column) => row[column]))})`;
}

/** The agent's key as a condition, on the columns of a table where several are read. */
export function ofAgent(tenantId: string, agentId: string, table?: string): RawBuilder<unknown> {
  const column = (name: string) => (table === undefined ? sql.ref(name) : sql.ref(`${table}.${name}`));
  return sql`${column('tenant_id')} = ${tenantId} and ${column('agent_id')} = ${agentId}`;
}
