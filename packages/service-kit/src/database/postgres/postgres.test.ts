import { startPostgres } from '@agentx/testing';
import type { PostgresServer } from '@agentx/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import type { Database } from '../database.ts';
import { UniqueViolationError } from '../errors.ts';
import { addItem, itemIds, openItems, T } from '../item.fixture.ts';

let server: PostgresServer | undefined;
beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server?.stop());

let url: string;
beforeEach(async () => {
  url = await server!.createDatabase();
});

test('replicas that start at once migrate once', async () => {
  const replicas = await Promise.all(Array.from({ length: 4 }, () => openItems(url)));
  await replicas[0]!.transaction(T, (tx) => addItem(tx, 'a'));
  expect(await itemIds(replicas[3]!)).toEqual(['a']);
  const rows = await replicas[1]!.read(T, (tx) =>
    tx.rows(sql`select name from ${tx.table('mikro_orm_migrations')}`),
  );
  expect(rows).toEqual([{ name: '0001-items' }]);
  await Promise.all(replicas.map((replica) => replica.close()));
});

describe('a server that goes away', () => {
  let database: Database;
  beforeEach(async () => {
    database = await openItems(url, { poolSize: 3, timeoutMs: 10_000 });
  });
  afterEach(() => database.close());

  test('UNAVAILABLE while it is away, and all well again after its restart', async () => {
    await Promise.all(['a', 'b', 'c'].map((id) => database.transaction(T, (tx) => addItem(tx, id))));
    await server!.restart('immediate');
    // Connections that were idle are dead now; the pool makes new ones.
    await writtenAgain(database, 'd');
    expect(await itemIds(database)).toEqual(['a', 'b', 'c', 'd']);
    expect(database.lastOutcome).toMatchObject({ ok: true });
  });

  test('a connection lost in the middle of a transaction: UNAVAILABLE, and nothing of it remains', async () => {
    const lost = database.transaction(T, async (tx) => {
      await addItem(tx, 'a');
      const [row] = await tx.rows(sql<{ pid: number }>`select pg_backend_pid() as pid`);
      await terminate(row!.pid);
      await addItem(tx, 'b');
    });
    await expect(lost).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
    expect(database.lastOutcome).toMatchObject({ ok: false });
    expect(await itemIds(database)).toEqual([]);
  });

  test('a commit whose answer is lost: UNAVAILABLE, and a repetition by key finds what was written', async () => {
    await using proxy = await proxyThatLosesCommits(server!.port);
    const through = new URL(url);
    through.port = String(proxy.port);
    await using flaky = await openItems(through.href, { directUrl: url });
    await expect(flaky.transaction(T, (tx) => addItem(tx, 'a'))).rejects.toMatchObject({
      reason: 'DATABASE_UNAVAILABLE',
    });
    await expect(database.transaction(T, (tx) => addItem(tx, 'a'))).rejects.toBeInstanceOf(
      UniqueViolationError,
    );
  });

  test('a server that gives no answer: UNAVAILABLE after the time allowed', async () => {
    await using hurried = await openItems(url, { timeoutMs: 300 });
    await hurried.transaction(T, (tx) => addItem(tx, 'a'));
    server!.freeze();
    try {
      await expect(hurried.transaction(T, (tx) => addItem(tx, 'b'))).rejects.toMatchObject({
        reason: 'DATABASE_UNAVAILABLE',
      });
    } finally {
      server!.thaw();
    }
    expect(await itemIds(hurried)).toContain('a');
  });

  test('too many connections: UNAVAILABLE, not a crash', async () => {
    const owner = new pg.Client({ connectionString: server!.url });
    await owner.connect();
    const name = new URL(url).pathname.slice(1);
    await owner.query(`alter database ${name} connection limit 0`);
    await terminateAll(owner, name);
    await expect(database.transaction(T, (tx) => addItem(tx, 'a'))).rejects.toMatchObject({
      reason: 'DATABASE_UNAVAILABLE',
    });
    await owner.query(`alter database ${name} connection limit -1`);
    await owner.end();
    await database.transaction(T, (tx) => addItem(tx, 'b'));
  });

  test('who watches is told of the failure, and of the recovery although nobody uses the database', async () => {
    await using hurried = await openItems(url, { timeoutMs: 200 });
    const { promise: recovered, resolve } = Promise.withResolvers<boolean>();
    const changes: boolean[] = [];
    hurried.onOutcomeChange((ok) => {
      changes.push(ok);
      if (ok) resolve(ok);
    });
    server!.freeze();
    try {
      await expect(itemIds(hurried)).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
      expect(changes).toEqual([false]);
    } finally {
      server!.thaw();
    }
    expect(await recovered).toBe(true);
    expect(changes).toEqual([false, true]);
  });

  test('deadlocks are resolved by running a work again', async () => {
    await database.transaction(T, async (tx) => {
      await addItem(tx, 'a');
      await addItem(tx, 'b');
    });
    const bothLocked = barrier(2);
    const swap = (first: string, second: string) => {
      let attempts = 0;
      return database.transaction(T, async (tx) => {
        await increment(tx, first);
        if (++attempts === 1) await bothLocked();
        await increment(tx, second);
      });
    };
    await Promise.all([swap('a', 'b'), swap('b', 'a')]);
    const rows = await database.read(T, (tx) =>
      tx.rows(sql`select id, n from ${tx.table('item')} order by id`),
    );
    expect(rows).toEqual([
      { id: 'a', n: 2 },
      { id: 'b', n: 2 },
    ]);
  });

  test('a work that swallows the error of a statement is not told that it was committed', async () => {
    const swallowing = database.transaction(T, async (tx) => {
      await addItem(tx, 'a');
      await addItem(tx, 'a').catch(() => undefined);
    });
    await expect(swallowing).rejects.toThrow(/its error was swallowed/);
    expect(await itemIds(database)).toEqual([]);
  });
});

test('a server that is not there: the start fails and says so', async () => {
  const nowhere = new URL(url);
  nowhere.port = '1';
  await expect(openItems(nowhere.href)).rejects.toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
});

async function increment(
  tx: Parameters<Parameters<Database['transaction']>[1]>[0],
  id: string,
): Promise<void> {
  await tx.rows(sql`update ${tx.table('item')} set n = n + 1 where id = ${id}`);
}

/** Fails only when the server has not come back within the test's time. */
async function writtenAgain(database: Database, id: string): Promise<void> {
  for (;;) {
    try {
      await database.transaction(T, (tx) => addItem(tx, id));
      return;
    } catch (error) {
      expect(error).toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
    }
  }
}

async function terminate(pid: number): Promise<void> {
  const owner = new pg.Client({ connectionString: server!.url });
  await owner.connect();
  await owner.query('select pg_terminate_backend($1)', [pid]);
  await owner.end();
}

async function terminateAll(owner: pg.Client, database: string): Promise<void> {
  await owner.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [database]);
}

function barrier(parties: number): () => Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  let arrived = 0;
  return () => {
    if (++arrived === parties) resolve(undefined);
    return promise;
  };
}

/** Passes bytes on in both directions, until a commit: that reaches the server, but its answer never comes back. */
async function proxyThatLosesCommits(serverPort: number) {
  const listener = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1');
    let committing = false;
    client.on('data', (bytes) => {
      committing ||= bytes.includes('commit');
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (committing) client.destroy();
      else client.write(bytes);
    });
    client.on('close', () => upstream.destroy()).on('error', () => undefined);
    upstream.on('close', () => client.destroy()).on('error', () => undefined);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
