/** What PostgreSQL itself keeps apart, whatever a statement says. */
import { startPostgres } from '@agentx/testing';
import type { PostgresServer } from '@agentx/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Migration } from '@mikro-orm/migrations';
import { sql } from 'kysely';
import pg from 'pg';
import { pino } from 'pino';
import type { Database, Transaction } from '../database.ts';
import { Item, openItems } from '../item.fixture.ts';
import { rowSecurity } from '../row-security.ts';

class FirstItems extends Migration {
  override up(): void {
    this.addSql(
      'create table item (tenant_id text not null, id text not null, n bigint not null, data bytea, primary key (tenant_id, id))',
    );
  }
}

class ItemSecurity extends Migration {
  override up(): void {
    for (const statement of rowSecurity(this.driver, 'item', ['select'])) this.addSql(statement);
  }
}

const migrations = [
  { name: '0001-items', class: FirstItems },
  { name: '0002-security', class: ItemSecurity },
];

const A = { tenantId: 'a' };
const B = { tenantId: "b'; drop table item; --" };
const sweeper = { sweeper: true } as const;

let server: PostgresServer;
let url: string;
let database: Database;
beforeAll(async () => {
  server = await startPostgres({ durable: false });
}, 60_000);
afterAll(() => server.stop());
beforeEach(async () => {
  url = await server.createDatabase();
  // One connection, so that what one use leaves behind the next would find.
  database = await openItems(url, { migrations, poolSize: 1 });
  for (const scope of [A, B]) await database.transaction(scope, (tx) => insert(tx, scope.tenantId, 'i'));
});
afterEach(() => database.close());

const insert = (tx: Transaction, tenantId: string, id: string) =>
  tx.rows(sql`insert into ${tx.table('item')} (tenant_id, id, n) values (${tenantId}, ${id}, 1)`);
const ids = (tx: Transaction) =>
  tx.rows(sql<{ tenant_id: string }>`select tenant_id from ${tx.table('item')} order by tenant_id`);

describe('a statement that forgets the tenant', () => {
  interface Row {
    tenant_id: string;
  }
  const kinds = {
    select: (tx: Pick<Transaction, 'table'>) => sql<Row>`select tenant_id from ${tx.table('item')}`,
    update: (tx: Pick<Transaction, 'table'>) =>
      sql<Row>`update ${tx.table('item')} set n = 2 returning tenant_id`,
    delete: (tx: Pick<Transaction, 'table'>) => sql<Row>`delete from ${tx.table('item')} returning tenant_id`,
  };
  const ways = {
    read: (kind: keyof typeof kinds) => database.read(A, (tx) => tx.rows(kinds[kind](tx))),
    statement: (kind: keyof typeof kinds) => database.statement(A, kinds[kind]),
    transaction: (kind: keyof typeof kinds) => database.transaction(A, (tx) => tx.rows(kinds[kind](tx))),
  };

  test.each(
    (['select', 'update', 'delete'] as const).flatMap((kind) =>
      (['read', 'statement', 'transaction'] as const).map((way) => [kind, way] as const),
    ),
  )('%s in a %s: finds rows of its own only', async (kind, way) => {
    expect(await ways[way](kind)).toEqual([{ tenant_id: 'a' }]);
    const others = await database.read(B, (tx) => tx.rows(sql`select n from ${tx.table('item')}`));
    expect(others).toEqual([{ n: 1 }]);
  });

  test('insert, and update to another tenant: refused by the database', async () => {
    const refused = { code: '42501' };
    await expect(database.transaction(A, (tx) => insert(tx, 'c', 'x'))).rejects.toMatchObject(refused);
    await expect(
      database.statement(A, (tx) => sql`update ${tx.table('item')} set tenant_id = 'c'`),
    ).rejects.toMatchObject(refused);
    expect(await database.read(sweeper, ids)).toHaveLength(2);
  });

  test('entities too', async () => {
    expect(await database.read(A, (tx) => tx.em.find(Item, {}))).toMatchObject([{ tenantId: 'a' }]);
    expect(await database.transaction(A, (tx) => tx.em.nativeDelete(Item, {}))).toBe(1);
    expect(await database.read(sweeper, ids)).toEqual([{ tenant_id: B.tenantId }]);
  });
});

test('the sweeper sees all, and writes nothing without a right to', async () => {
  expect(await database.read(sweeper, ids)).toEqual([{ tenant_id: 'a' }, { tenant_id: B.tenantId }]);
  expect(
    await database.statement(sweeper, (tx) => sql`update ${tx.table('item')} set n = 9 returning id`),
  ).toEqual([]);
  expect(
    await database.statement(sweeper, (tx) => sql`delete from ${tx.table('item')} returning id`),
  ).toEqual([]);
  await expect(database.transaction(sweeper, (tx) => insert(tx, 'a', 'x'))).rejects.toMatchObject({
    code: '42501',
  });
});

test('nobody sees nothing: neither on a new connection nor on one that others have used', async () => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const count = async () =>
    (await client.query<{ n: number }>('select count(*)::integer as n from agentx_items.item')).rows[0]?.n;
  try {
    expect(await count()).toBe(0);
    await client.query("begin; select set_config('agentx.tenant_id', 'a', true)");
    expect(await count()).toBe(1);
    await client.query('commit');
    expect(await count()).toBe(0);
    // Not even rows of a tenant with an empty name, which is what an unset setting looks like.
    await client.query("select set_config('agentx.tenant_id', '', false)");
    await expect(client.query("insert into agentx_items.item values ('', 'x', 1)")).rejects.toMatchObject({
      code: '42501',
    });
  } finally {
    await client.end();
  }
});

test('uses of one connection leave nothing to the next, also after failures', async () => {
  expect(await database.read(sweeper, ids)).toHaveLength(2);
  expect(await database.read(B, ids)).toEqual([{ tenant_id: B.tenantId }]);
  expect(await database.transaction(sweeper, ids)).toHaveLength(2);
  expect(await database.statement(A, (tx) => sql`select tenant_id from ${tx.table('item')}`)).toEqual([
    { tenant_id: 'a' },
  ]);
  const left = sql`select current_setting('agentx.tenant_id', true) as tenant`;
  expect(await database.read(sweeper, (tx) => tx.rows(left))).toEqual([{ tenant: '' }]);
  const fails = database.transaction(A, (tx) => tx.rows(sql`select * from ${tx.table('nowhere')}`));
  await expect(fails).rejects.toMatchObject({ code: '42P01' });
  await expect(database.read(sweeper, (tx) => tx.rows(sql`select 1 / 0`))).rejects.toThrow(
    'division by zero',
  );
  expect(await database.read(B, ids)).toEqual([{ tenant_id: B.tenantId }]);
  expect(await database.transaction(A, ids)).toEqual([{ tenant_id: 'a' }]);
  expect(await database.statement(B, (tx) => sql`select tenant_id from ${tx.table('item')}`)).toHaveLength(1);
});

test('a scope without a name is refused before the database is asked', async () => {
  for (const tenantId of ['', 'a\0b']) {
    await expect(database.read({ tenantId }, ids)).rejects.toThrow(TypeError);
    await expect(database.transaction({ tenantId }, ids)).rejects.toThrow(TypeError);
    await expect(database.statement({ tenantId }, () => sql`select 1`)).rejects.toThrow(TypeError);
  }
  expect(await database.read(A, ids)).toHaveLength(1);
});

test('a migration that changes rows and would find none fails instead', async () => {
  class Blind extends Migration {
    override up(): void {
      this.addSql('update item set n = 5');
    }
  }
  const blind = { name: '0003-blind', class: Blind };
  await expect(openItems(url, { migrations: [...migrations, blind] })).rejects.toThrow(
    /row-level security policy/,
  );
  class Seeing extends Migration {
    override up(): void {
      this.addSql('alter table item no force row level security');
      this.addSql('update item set n = 5');
      this.addSql('alter table item force row level security');
    }
  }
  await using later = await openItems(url, {
    migrations: [...migrations, { name: '0003-seeing', class: Seeing }],
  });
  const read = sql<{ n: number }>`select n from agentx_items.item`;
  expect(await later.read(A, (tx) => tx.rows(read))).toEqual([{ n: 5 }]);
});

describe('the role', () => {
  async function openAs(serviceUrl: string, directUrl?: string) {
    const lines: string[] = [];
    const log = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const opened = await openItems(serviceUrl, { migrations, directUrl, log });
    return { opened, lines };
  }

  test('one that passes row-level security by: a warning at the start, none for others', async () => {
    const superuser = new URL(server.url);
    superuser.pathname = new URL(url).pathname;
    const warned = await openAs(superuser.href);
    await warned.opened.close();
    expect(warned.lines).toEqual([expect.stringMatching(/"role":"postgres".*superuser or has BYPASSRLS/)]);
    const quiet = await openAs(url);
    await quiet.opened.close();
    expect(quiet.lines).toEqual([]);
  });

  test('another one than the owner reads and writes, and cannot take row-level security away', async () => {
    const admin = new pg.Client({ connectionString: server.url });
    await admin.connect();
    await admin.query(`create role service login password 'service'`);
    await admin.end();
    const service = new URL(url);
    service.username = service.password = 'service';
    const { opened } = await openAs(service.href, url);
    try {
      await opened.transaction(A, (tx) => insert(tx, 'a', 'more'));
      expect(await opened.read(A, ids)).toHaveLength(2);
      await expect(
        opened.statement(A, (tx) => sql`alter table ${tx.table('item')} no force row level security`),
      ).rejects.toMatchObject({ code: '42501' });
    } finally {
      await opened.close();
    }
  });
});
