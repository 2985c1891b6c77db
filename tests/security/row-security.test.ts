/** A tenant's rows on PostgreSQL, against statements that forget whose they are: every table of every store. */
import { startPostgres } from '@agentx/testing';
import type { PostgresServer } from '@agentx/testing';
import type { Database } from '@agentx/service-kit';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { insertSample, openAt, readAll, storeNames, tablesOf } from './stored-tables.ts';

const A = { tenantId: 'tenant-a' };
const B = { tenantId: 'tenant-b' };
const sweeper = { sweeper: true } as const;
/** What the watch for work must see of all tenants. */
const swept: readonly string[] = ['lease', 'outbox'];
const refused = { code: '42501' };

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres({ durable: false });
}, 60_000);
afterAll(() => server.stop());

describe.each(storeNames)('the %s store', (name) => {
  let database: Database;
  let tables: readonly string[];
  beforeAll(async () => {
    database = await openAt(name, await server.createDatabase());
    tables = await database.read(sweeper, tablesOf);
    for (const scope of [A, B])
      for (const table of tables)
        await database.transaction(scope, (tx) => insertSample(tx, table, scope.tenantId));
  });
  afterAll(() => database.close());

  test('every table is under row-level security, for its owner too', async () => {
    expect(tables.length).toBeGreaterThan(0);
    const secured = await database.read(sweeper, (tx) =>
      tx.rows(
        sql<{ name: string }>`select relname as name from pg_class join pg_namespace n on n.oid = relnamespace
          where nspname like 'agentx%' and relrowsecurity and relforcerowsecurity order by relname`,
      ),
    );
    expect(secured.map((table) => table.name)).toEqual(tables);
  });

  test('a tenant finds, changes and deletes its own rows only', async () => {
    for (const table of tables) {
      const changed = await database.transaction(A, async (tx) => [
        await readAll(tx, table),
        await tx.rows(sql`update ${tx.table(table)} set tenant_id = tenant_id returning tenant_id`),
        await tx.rows(sql`delete from ${tx.table(table)} returning tenant_id`),
        await tx.rows(
          sql`delete from ${tx.table(table)} where tenant_id = ${B.tenantId} returning tenant_id`,
        ),
      ]);
      const own = [expect.objectContaining({ tenant_id: A.tenantId })];
      expect({ table, changed }).toEqual({ table, changed: [own, own, own, []] });
      expect(await database.read(B, (tx) => readAll(tx, table))).toHaveLength(1);
      await database.transaction(A, (tx) => insertSample(tx, table, A.tenantId));
    }
  });

  test('a tenant writes no row of another, new or its own', async () => {
    for (const table of tables) {
      await expect(
        database.transaction(A, (tx) => insertSample(tx, table, 'tenant-c')),
      ).rejects.toMatchObject(refused);
      await expect(
        database.statement(A, (tx) => sql`update ${tx.table(table)} set tenant_id = 'tenant-c'`),
      ).rejects.toMatchObject(refused);
    }
  });

  test('the sweeper sees what it sweeps, and nothing else', async () => {
    for (const table of tables) {
      const rows = await database.read(sweeper, (tx) => readAll(tx, table));
      expect({ table, count: rows.length }).toEqual({ table, count: swept.includes(table) ? 2 : 0 });
      expect(
        await database.statement(sweeper, (tx) => sql`delete from ${tx.table(table)} returning 1`),
      ).toEqual([]);
    }
  });
});
