import { startPostgres, temporaryFolder } from '@agentx/testing';
import type { PostgresServer } from '@agentx/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import type { Database } from './database.ts';
import { UniqueViolationError } from './errors.ts';
import { addItem, Item, itemIds, openItems, T } from './item.fixture.ts';

let postgres: PostgresServer | undefined;
beforeAll(async () => {
  postgres = await startPostgres({ durable: false });
}, 60_000);
afterAll(() => postgres?.stop());

const places = {
  sqlite: async () => {
    const folder = await temporaryFolder('agentx-database-');
    return { url: `sqlite:${folder.path}`, remove: () => folder.remove() };
  },
  postgresql: async () => ({ url: await postgres!.createDatabase(), remove: () => Promise.resolve() }),
};

describe.each(Object.entries(places))('%s', (dialect, makePlace) => {
  let place: { url: string; remove(): Promise<void> };
  let database: Database;
  beforeEach(async () => {
    place = await makePlace();
    database = await openItems(place.url);
  });
  afterEach(async () => {
    await database.close();
    await place.remove();
  });

  test('what a transaction wrote is there after closing and opening again', async () => {
    await database.transaction(T, (tx) => addItem(tx, 'a'));
    await database.close();
    database = await openItems(place.url);
    expect(await itemIds(database)).toEqual(['a']);
    expect(database.dialect).toBe(dialect);
  });

  test('a work that throws leaves nothing behind and harms none of the works beside it', async () => {
    const works = Array.from({ length: 20 }, (_, index) =>
      database.transaction(T, async (tx) => {
        await addItem(tx, `item-${String(index).padStart(2, '0')}`);
        if (index % 5 === 2) throw new Error(`work ${index} failed`);
        return index;
      }),
    );
    const results = await Promise.allSettled(works);
    const failed = results.flatMap((result, index) => (result.status === 'rejected' ? [index] : []));
    expect(failed).toEqual([2, 7, 12, 17]);
    expect(results[7]).toMatchObject({ reason: new Error('work 7 failed') });
    expect(await itemIds(database)).toHaveLength(16);
  });

  test('a failing statement harms none of the works beside it', async () => {
    await database.transaction(T, (tx) => addItem(tx, 'b'));
    const results = await Promise.allSettled(
      ['a', 'b', 'c'].map((id) => database.transaction(T, (tx) => addItem(tx, id))),
    );
    expect(results.map((result) => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((results[1] as PromiseRejectedResult).reason).toBeInstanceOf(UniqueViolationError);
    expect(await itemIds(database)).toEqual(['a', 'b', 'c']);
    expect(database.lastOutcome).toMatchObject({ ok: true });
  });

  test('entities are written at the end of the work, in the transaction of its statements', async () => {
    const failing = database.transaction(T, async (tx) => {
      tx.em.create(Item, { tenantId: 't', id: 'a', n: 1n });
      await tx.em.flush();
      expect(await tx.rows(sql`select id from ${tx.table('item')}`)).toHaveLength(1);
      throw new Error('undone');
    });
    await expect(failing).rejects.toThrow('undone');
    expect(await itemIds(database)).toEqual([]);

    await database.transaction(T, async (tx) => {
      await addItem(tx, 'b', 7);
      const found = await tx.em.findOneOrFail(Item, { tenantId: 't', id: 'b' });
      expect(found.n).toBe(7n);
      found.n = 8n;
      tx.em.create(Item, { tenantId: 't', id: 'c', n: 9n, data: Buffer.from([1, 255]) });
    });
    const items = await database.read(T, (tx) => tx.em.find(Item, {}, { orderBy: { id: 'asc' } }));
    expect(items.map(({ id, n }) => [id, n])).toEqual([
      ['b', 8n],
      ['c', 9n],
    ]);
  });

  test('an entity whose key is taken: UniqueViolationError', async () => {
    await database.transaction(T, (tx) => addItem(tx, 'a'));
    const again = database.transaction(T, async (tx) => {
      tx.em.create(Item, { tenantId: 't', id: 'a', n: 1n });
      await Promise.resolve();
    });
    await expect(again).rejects.toBeInstanceOf(UniqueViolationError);
  });

  test('statement(): one statement, durable by itself', async () => {
    const insert = (id: string) =>
      database.statement(
        T,
        (tx) =>
          sql<{
            n: number;
          }>`insert into ${tx.table('item')} (tenant_id, id, n) values ('t', ${id}, 4) returning n`,
      );
    expect((await insert('a'))[0]?.n).toBe(4);
    await expect(insert('a')).rejects.toBeInstanceOf(UniqueViolationError);
    expect(await itemIds(database)).toEqual(['a']);
  });

  test('values come back as they went in, alike on both databases', async () => {
    const bytes = new Uint8Array([0, 1, 254, 255]);
    const rows = await database.transaction(T, (tx) =>
      tx.rows(
        sql<{ n: number; data: Uint8Array }>`insert into ${tx.table('item')} (tenant_id, id, n, data)
          values (${'t'}, ${"it's"}, ${2n ** 53n - 1n}, ${bytes}) returning n, data, id`,
      ),
    );
    expect({ ...rows[0], data: [...rows[0]!.data] }).toEqual({
      n: 2 ** 53 - 1,
      data: [...bytes],
      id: "it's",
    });
  });

  test.each([
    ['a Date', new Date(), /a Date: pass its milliseconds/],
    ['undefined', undefined, /undefined: pass null/],
    ['an object', { a: 1 }, /JSON as text/],
  ])('%s as a parameter is refused', async (_, value, message) => {
    const written = database.transaction(T, (tx) => tx.rows(sql`select ${value} as value`));
    await expect(written).rejects.toThrow(message);
  });

  test('a number beyond 2^53 is refused, not rounded', async () => {
    const read = database.read(T, (tx) => tx.rows(sql`select cast(9007199254740993 as bigint) as n`));
    await expect(read).rejects.toMatchObject({ name: 'RangeError' });
  });

  test("nowMs is the clock's, in milliseconds", async () => {
    const [row] = await database.read(T, (tx) => tx.rows(sql<{ now: number }>`select ${tx.nowMs} as now`));
    expect(Math.abs(row!.now - Date.now())).toBeLessThan(60_000);
  });

  test('a transaction cannot be used once it is over', async () => {
    const { tx, em } = await database.transaction(T, (tx) => Promise.resolve({ tx, em: tx.em }));
    await expect(addItem(tx, 'late')).rejects.toThrow(/this transaction is over/);
    await expect(em.find(Item, {})).rejects.toThrow(/this transaction is over/);
    expect(await itemIds(database)).toEqual([]);
  });

  test('many at once lose no update', async () => {
    await database.transaction(T, (tx) => addItem(tx, 'counter'));
    await Promise.all(
      Array.from({ length: 50 }, () =>
        database.transaction(T, (tx) =>
          tx.rows(sql`update ${tx.table('item')} set n = n + 1 where id = 'counter'`),
        ),
      ),
    );
    const [row] = await database.read(T, (tx) =>
      tx.rows(sql<{ n: number }>`select n from ${tx.table('item')}`),
    );
    expect(row!.n).toBe(50);
  });

  test('closing waits for what is running and refuses what comes', async () => {
    const running = database.transaction(T, (tx) => addItem(tx, 'a'));
    const closing = database.close();
    await expect(database.transaction(T, (tx) => addItem(tx, 'b'))).rejects.toMatchObject({
      reason: 'DATABASE_UNAVAILABLE',
    });
    await Promise.all([running, closing, database.close()]);
    database = await openItems(place.url);
    expect(await itemIds(database)).toEqual(['a']);
  });
});

test.each(['mysql://x', 'sqlite:', 'hello'])('the address %s is refused', async (url) => {
  await expect(openItems(url)).rejects.toThrow(/the database address/);
});
