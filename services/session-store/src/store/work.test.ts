import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { Database } from '@agentx/service-kit';
import { temporaryFolder } from '@agentx/testing';
import type { TemporaryFolder } from '@agentx/testing';
import type { WorkItem } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createSessionStore } from './sql-store.ts';
import type { SqlSessionStore } from './sql-store.ts';
import { log, openTestDatabase, tailRequest } from './suite/harness.ts';
import { begin, send, takeOver } from './suite/holder.ts';

/** A database that counts what it is asked, can be waited for, and fails on demand. */
function observed(database: Database) {
  const running = new Set<Promise<unknown>>();
  const state = { uses: 0, failing: false };
  const run = <T>(work: () => Promise<T>): Promise<T> => {
    state.uses += 1;
    const result = state.failing ? Promise.reject(new Error('the database is away')) : work();
    running.add(result);
    void result.finally(() => running.delete(result)).catch(() => undefined);
    return result;
  };
  const observedDatabase: Database = {
    ...database,
    get lastOutcome() {
      return database.lastOutcome;
    },
    transaction: (scope, work) => run(() => database.transaction(scope, work)),
    statement: (scope, build) => run(() => database.statement(scope, build)),
    read: (scope, work) => run(() => database.read(scope, work)),
  };
  return {
    database: observedDatabase,
    state,
    /** Time passes, and all that it sets going comes to an end. */
    pass: async (ms: number) => {
      await jest.advanceTimersByTimeAsync(ms);
      while (running.size > 0) await Promise.allSettled(running);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const HOUR_MS = 3_600_000;
let folder: TemporaryFolder;
let opened: Database;
let store: SqlSessionStore;
let time: ReturnType<typeof observed>;

beforeEach(async () => {
  folder = await temporaryFolder();
  opened = await openTestDatabase(`sqlite:${folder.path}`);
  time = observed(opened);
  store = createSessionStore(time.database, { log });
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'clearImmediate', 'queueMicrotask', 'Date'] });
});

afterEach(async () => {
  jest.useRealTimers();
  store.close();
  await opened.close();
  await folder.remove();
});

function watch() {
  const leaving = new AbortController();
  const items = store.watchWork(leaving.signal)[Symbol.asyncIterator]();
  return { leaving, items, next: () => items.next() };
}

const agentOf = ({ value }: IteratorResult<WorkItem>) => {
  const { work } = value as WorkItem;
  return work.case === 'turn' ? work.value.agentId : work.case;
};

test('nothing asks the database while nothing runs, however many watch and follow', async () => {
  const tenantId = randomUUID();
  const holder = await begin(store, tenantId, 'agent');
  const { leaving, next } = watch();
  const waiting = next();
  const rows = store.tailEvents(tenantId, tailRequest({ agentId: 'agent', follow: true }), leaving.signal);
  const following = rows[Symbol.asyncIterator]();
  await following.next();
  await send(holder.end());
  await following.next();
  const following2 = following.next();
  await store.ackOutbox(tenantId, [holder.ref.turnId]);
  await time.pass(HOUR_MS);
  const { uses } = time.state;
  await time.pass(24 * HOUR_MS);
  expect(time.state.uses).toBe(uses);
  leaving.abort();
  expect([await waiting, await following2].map(({ done }) => done)).toEqual([true, true]);
});

test('nothing asks the database while nobody watches', async () => {
  await begin(store, randomUUID(), 'agent');
  const { uses } = time.state;
  await time.pass(HOUR_MS);
  expect(time.state.uses).toBe(uses);
});

test('work that nobody does is told again; to one who does not read it is kept once', async () => {
  const tenantId = randomUUID();
  const { leaving, next } = watch();
  const first = next();
  await (await begin(store, tenantId, 'one')).release();
  await time.pass(1);
  expect(agentOf(await first)).toBe('one');
  await time.pass(2000);
  expect(agentOf(await next())).toBe('one');

  // Told a hundred times while nobody reads: kept once each.
  await (await begin(store, tenantId, 'two')).release();
  for (let round = 0; round < 100; round += 1) await time.pass(2000);
  expect([agentOf(await next()), agentOf(await next())]).toEqual(['one', 'two']);
  const last = next();
  await (await begin(store, tenantId, 'three')).release();
  await time.pass(1);
  const told = [agentOf(await last), agentOf(await next()), agentOf(await next())];
  expect(told.sort()).toEqual(['one', 'three', 'two']);
  leaving.abort();
});

test('what others have done meanwhile is not told any more', async () => {
  const tenantId = randomUUID();
  const { leaving, next } = watch();
  const first = next();
  await (await begin(store, tenantId, 'zero')).release();
  await time.pass(1);
  expect(agentOf(await first)).toBe('zero');
  const one = await begin(store, tenantId, 'one');
  await one.release();
  await time.pass(1);
  await takeOver(store, tenantId, one.ref);
  await (await begin(store, tenantId, 'two')).release();
  await time.pass(1);
  expect([agentOf(await next()), agentOf(await next())].sort()).toEqual(['two', 'zero']);
  leaving.abort();
});

test('a look that fails is repeated', async () => {
  const tenantId = randomUUID();
  const { leaving, next } = watch();
  const first = next();
  const holder = await begin(store, tenantId, 'agent');
  await holder.release();
  time.state.failing = true;
  await time.pass(1);
  await time.pass(10_000);
  time.state.failing = false;
  await time.pass(2000);
  expect(agentOf(await first)).toBe('agent');
  leaving.abort();
});

test('a watcher whose first look fails is told why', async () => {
  time.state.failing = true;
  const { next } = watch();
  await expect(next()).rejects.toThrow('the database is away');
});
