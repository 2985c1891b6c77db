/** Noticing what no engine is doing. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { WorkItem } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createSessionStore } from '../sql-store.ts';
import { expireLeases, log, openStore } from './harness.ts';
import { begin, send, takeOver } from './holder.ts';
import type { StoreUnderTest, TestDatabases } from './harness.ts';

/** Work in short: `turn AGENT` or `outbox AGENT`. */
const inShort = ({ work }: WorkItem): string =>
  work.case === 'turn' ? `turn ${work.value.agentId}` : `outbox ${work.value?.stats?.agentId}`;

interface Watcher {
  next(): Promise<string>;
  leave(): Promise<unknown>;
}

function watch({ store }: StoreUnderTest): Watcher {
  const leaving = new AbortController();
  const items = store.watchWork(leaving.signal)[Symbol.asyncIterator]();
  return {
    next: async () => {
      const next = await items.next();
      return next.done === true ? 'the end' : inShort(next.value);
    },
    leave: () => {
      const end = items.next();
      leaving.abort();
      return end;
    },
  };
}

/** Work crosses tenants, so each test has a database of its own. */
export function workTests(databases: TestDatabases): void {
  test('a watcher is first given what there is: turns without an engine and undelivered reports', async () => {
    await using under = await openStore(databases);
    const { store, database } = under;
    const tenantId = randomUUID();
    await begin(store, tenantId, 'orphan');
    await begin(store, randomUUID(), 'orphan-of-another-tenant');
    await expireLeases(database, tenantId);
    await begin(store, tenantId, 'held');
    await send((await begin(store, tenantId, 'ended')).end());

    const leaving = new AbortController();
    const items = store.watchWork(leaving.signal)[Symbol.asyncIterator]();
    const found: WorkItem[] = [];
    for (let index = 0; index < 2; index += 1) {
      const item = await items.next();
      if (item.done !== true) found.push(item.value);
    }
    expect(found.map(inShort).sort()).toEqual(['outbox ended', 'turn orphan']);
    expect(found.map(({ work }) => work.value?.tenantId)).toEqual([tenantId, tenantId]);
    const end = items.next();
    leaving.abort();
    expect((await end).done).toBe(true);
  });

  test('a lease that runs out is told', async () => {
    await using under = await openStore(databases);
    const watcher = watch(under);
    const next = watcher.next();
    const tenantId = randomUUID();
    await begin(under.store, tenantId, 'held');
    await begin(under.store, tenantId, 'orphan', { leaseTtl: durationFromMs(100) });
    expect(await next).toBe('turn orphan');
    await watcher.leave();
  });

  test('a lease that was taken over and runs out again is told again', async () => {
    await using under = await openStore(databases);
    const watcher = watch(under);
    const next = watcher.next();
    const tenantId = randomUUID();
    const ttl = { leaseTtl: durationFromMs(100) };
    const { ref } = await begin(under.store, tenantId, 'orphan', ttl);
    expect(await next).toBe('turn orphan');
    await takeOver(under.store, tenantId, ref, ttl);
    expect(await watcher.next()).toBe('turn orphan');
    await watcher.leave();
  });

  test('a lease that another process gave is told when it runs out', async () => {
    await using under = await openStore(databases);
    const elsewhere = createSessionStore(under.database, { log });
    await begin(elsewhere, randomUUID(), 'orphan', { leaseTtl: durationFromMs(300) });
    const watcher = watch(under);
    expect(await watcher.next()).toBe('turn orphan');
    await watcher.leave();
    elsewhere.close();
  });

  test('a turn that is handed over is told at once, to every watcher', async () => {
    await using under = await openStore(databases);
    const watchers = [watch(under), watch(under)];
    const next = watchers.map((watcher) => watcher.next());
    const holder = await begin(under.store, randomUUID(), 'handed-over');
    await holder.release();
    expect(await Promise.all(next)).toEqual(['turn handed-over', 'turn handed-over']);
    for (const watcher of watchers) await watcher.leave();
  });

  test('a report that its engine did not deliver is told, though a lease was looked after before', async () => {
    await using under = await openStore(databases);
    const watcher = watch(under);
    const next = watcher.next();
    const tenantId = randomUUID();
    const holder = await begin(under.store, tenantId, 'ended', { leaseTtl: durationFromMs(500) });
    await send(holder.end());
    expect(await next).toBe('outbox ended');
    await watcher.leave();
  });

  test('a report that was acknowledged is gone', async () => {
    await using under = await openStore(databases);
    const { store } = under;
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'ended');
    await send(holder.end());
    const { turnId } = holder.ref;
    expect(await store.ackOutbox(tenantId, [turnId, 'no-such-entry'])).toBe(1);
    expect(await store.ackOutbox(tenantId, [turnId])).toBe(0);
    expect(await store.ackOutbox(tenantId, [])).toBe(0);
    const watcher = watch(under);
    const next = watcher.next();
    await (await begin(store, tenantId, 'handed-over')).release();
    expect(await next).toBe('turn handed-over');
    await watcher.leave();
  });

  test('a store that closes ends its watchers', async () => {
    await using under = await openStore(databases);
    const watcher = watch(under);
    const next = watcher.next();
    await (await begin(under.store, randomUUID(), 'handed-over')).release();
    expect(await next).toBe('turn handed-over');
    const end = watcher.next();
    under.store.close();
    expect(await end).toBe('the end');
  });
}
