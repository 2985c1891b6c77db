/** Reading the log, and waiting for it to grow. */
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import type { EventBatch } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createSessionStore } from '../sql-store.ts';
import { expireLeases, log, refusal, rowsOf, tailRequest, userMessage } from './harness.ts';
import { begin, send, takeOver } from './holder.ts';
import type { StoreUnderTest } from './harness.ts';

const never = new AbortController().signal;

const extents = (batches: readonly EventBatch[]) =>
  batches.map(({ epoch, firstSeq, lastSeq }) => [epoch, firstSeq, lastSeq].map(Number));

async function allOf(rows: AsyncIterable<EventBatch>): Promise<EventBatch[]> {
  const all: EventBatch[] = [];
  for await (const row of rows) all.push(row);
  return all;
}

const iterate = (rows: AsyncIterable<EventBatch>) => rows[Symbol.asyncIterator]();

/** The next row, which must come. */
async function nextOf(rows: AsyncIterator<EventBatch>): Promise<number[] | undefined> {
  const next = await rows.next();
  if (next.done === true) throw new Error('the log ended');
  return extents([next.value])[0];
}

export function tailTests(get: () => StoreUnderTest): void {
  const read = async (tenantId: string, over: Parameters<typeof tailRequest>[0]) =>
    extents(await allOf(get().store.tailEvents(tenantId, tailRequest(over), never)));

  test.each([62, 63, 64, 127, 128, 130])(
    'a log of %i rows and one is read whole, row by row',
    async (count) => {
      const { store } = get();
      const tenantId = randomUUID();
      const holder = await begin(store, tenantId, 'agent');
      for (let index = 0; index < count; index += 1) await send(holder.append());
      const rows = await read(tenantId, { agentId: 'agent' });
      expect(rows).toEqual([
        [1, 1, 2],
        ...Array.from({ length: count }, (_, index) => [1, 3 + index, 3 + index]),
      ]);
      const { turnId } = holder.ref;
      expect(await read(tenantId, { agentId: 'agent', turnId })).toEqual(rows);
      const stored = await rowsOf(get().database, tenantId);
      expect(rows.length).toBe(stored.event_batch.length);
    },
  );

  test('rows come back byte for byte, also where a page is cut by their size', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    for (const megabytes of [3, 3, 5, 1, 1])
      await send(holder.append(1, 'x'.repeat(megabytes * 1024 * 1024)));
    const rows = await allOf(store.tailEvents(tenantId, tailRequest({ agentId: 'agent' }), never));
    const stored = (await rowsOf(database, tenantId)).event_batch.toSorted(
      (a, b) => Number(a['last_seq']) - Number(b['last_seq']),
    );
    expect(rows.length).toBe(6);
    for (const [index, row] of rows.entries())
      expect(Buffer.compare(row.events, stored[index]?.['events'] as Uint8Array)).toBe(0);
  });

  test('reading goes on after a place; the first row may begin before it', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await send(holder.append(3), holder.append(2));
    const after = (seq: bigint) => read(tenantId, { agentId: 'agent', after: { epoch: 1n, seq } });
    expect(await after(2n)).toEqual([
      [1, 3, 5],
      [1, 6, 7],
    ]);
    expect(await after(4n)).toEqual([
      [1, 3, 5],
      [1, 6, 7],
    ]);
    expect(await after(5n)).toEqual([[1, 6, 7]]);
    expect(await after(7n)).toEqual([]);
  });

  test('a place that only a former holder showed passes over to the next epoch', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    await send(former.append(1));
    await expireLeases(database, tenantId);
    const next = await takeOver(store, tenantId, former.ref);
    await send(next.append(2), next.append(1));
    const after = { epoch: 1n, seq: 120n };
    expect(await read(tenantId, { agentId: 'agent', after })).toEqual([
      [2, 4, 5],
      [2, 6, 6],
    ]);
  });

  test('a turn is read from its start to its end, whatever came before and after', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    await send((await begin(store, tenantId, 'agent')).end());
    await store.addMessage(tenantId, userMessage('agent', 'between'));
    const holder = await begin(store, tenantId, 'agent');
    await send(holder.append(2), holder.end());
    await store.addMessage(tenantId, userMessage('agent', 'later'));
    const { turnId } = holder.ref;
    const expected = [
      [2, 5, 6],
      [2, 7, 8],
      [2, 9, 9],
    ];
    expect(await read(tenantId, { agentId: 'agent', turnId })).toEqual(expected);
    expect(await read(tenantId, { agentId: 'agent', turnId, follow: true })).toEqual(expected);
    const after = { epoch: 2n, seq: 9n };
    expect(await read(tenantId, { agentId: 'agent', turnId, after, follow: true })).toEqual([]);
  });

  test('a follower is given every write as it comes, and ends with its turn', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    const { turnId } = former.ref;
    const rows = iterate(
      store.tailEvents(tenantId, tailRequest({ agentId: 'agent', turnId, follow: true }), never),
    );
    expect(await nextOf(rows)).toEqual([1, 1, 2]);
    let next = nextOf(rows);
    await send(former.append(2));
    expect(await next).toEqual([1, 3, 4]);
    next = nextOf(rows);
    await send(former.startAttempt());
    expect(await next).toEqual([1, 5, 5]);
    await expireLeases(database, tenantId);
    const holder = await takeOver(store, tenantId, former.ref);
    next = nextOf(rows);
    await send(holder.end());
    expect(await next).toEqual([2, 6, 6]);
    expect(await rows.next()).toEqual({ done: true, value: undefined });
  });

  test('what is written while a row is looked at is not lost', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const rows = iterate(store.tailEvents(tenantId, tailRequest({ agentId: 'agent', follow: true }), never));
    await nextOf(rows);
    await send(holder.append(), holder.append());
    expect(await nextOf(rows)).toEqual([1, 3, 3]);
    await send(holder.append());
    expect(await nextOf(rows)).toEqual([1, 4, 4]);
    expect(await nextOf(rows)).toEqual([1, 5, 5]);
    await rows.return?.();
  });

  test('a follower of an agent sees its next turns and added messages', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const rows = iterate(store.tailEvents(tenantId, tailRequest({ agentId: 'agent', follow: true }), never));
    let next = nextOf(rows);
    await store.addMessage(tenantId, userMessage('agent', 'one'));
    expect(await next).toEqual([0, 1, 1]);
    next = nextOf(rows);
    const holder = await begin(store, tenantId, 'agent');
    expect(await next).toEqual([1, 2, 3]);
    next = nextOf(rows);
    await send(holder.end());
    expect(await next).toEqual([1, 4, 4]);
    next = nextOf(rows);
    await begin(store, tenantId, 'agent');
    expect(await next).toEqual([2, 5, 6]);
    await rows.return?.();
  });

  test('a signal ends a follower that waits', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    await begin(store, tenantId, 'agent');
    const leaving = new AbortController();
    const rows = iterate(
      store.tailEvents(tenantId, tailRequest({ agentId: 'agent', follow: true }), leaving.signal),
    );
    await nextOf(rows);
    const end = rows.next();
    leaving.abort();
    expect(await end).toEqual({ done: true, value: undefined });
    const gone = store.tailEvents(tenantId, tailRequest({ agentId: 'agent', follow: true }), leaving.signal);
    expect(await allOf(gone)).toEqual([]);
  });

  test('another tenant sees nothing', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const { turnId } = holder.ref;
    const other = randomUUID();
    expect(await read(other, { agentId: 'agent' })).toEqual([]);
    expect(await refusal(read(other, { agentId: 'agent', turnId }))).toBe('TURN_NOT_FOUND');
    expect(await refusal(read(other, { agentId: 'agent', after: { epoch: 1n, seq: 1n } }))).toBe(
      'INVALID_CURSOR',
    );
  });

  test('a place that is yet to come is refused', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const after = (epoch: bigint, seq: bigint) => read(tenantId, { agentId: 'agent', after: { epoch, seq } });
    expect(await refusal(after(2n, 1n))).toBe('INVALID_CURSOR');
    expect(await refusal(after(2n ** 64n - 1n, 1n))).toBe('INVALID_CURSOR');
    expect(await refusal(after(1n, 2n ** 64n - 1n))).toBe('INVALID_CURSOR');
    // A running turn's engine may have shown it before writing it.
    expect(await after(1n, 50n)).toEqual([]);
    await send(holder.end());
    expect(await refusal(after(1n, 50n))).toBe('INVALID_CURSOR');
    expect(await after(1n, holder.seq)).toEqual([]);
  });
}

/** Only where several processes share a database. */
export function otherProcessTests(get: () => StoreUnderTest): void {
  test('a follower sees what another process writes', async () => {
    const { store, database } = get();
    const elsewhere = createSessionStore(database, { log });
    const tenantId = randomUUID();
    const holder = await begin(elsewhere, tenantId, 'agent');
    const rows = iterate(
      store.tailEvents(
        tenantId,
        tailRequest({ agentId: 'agent', turnId: holder.ref.turnId, follow: true }),
        never,
      ),
    );
    expect(await nextOf(rows)).toEqual([1, 1, 2]);
    const next = nextOf(rows);
    await send(holder.append());
    expect(await next).toEqual([1, 3, 3]);
    await send(holder.end());
    expect(await nextOf(rows)).toEqual([1, 4, 4]);
    expect((await rows.next()).done).toBe(true);
    elsewhere.close();
  });
}
