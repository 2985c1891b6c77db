/** Who may write, and what becomes of a write that comes again, too late, or out of order. */
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { expireLeases, refusal, rowsOf } from './harness.ts';
import { begin, send, takeOver } from './holder.ts';
import type { StoreUnderTest } from './harness.ts';
import type { Holder, Write } from './holder.ts';

/** One write of each kind, in an order in which they are all allowed. */
const COURSE: readonly ((holder: Holder) => Write)[] = [
  (holder) => holder.append(3),
  (holder) => holder.startAttempt(1, 1),
  (holder) => holder.failAttempt(1, 1),
  (holder) => holder.startAttempt(1, 2),
  (holder) => holder.answer(['call-1', 'call-2'], 1, 2),
  (holder) => holder.startTool('call-1'),
  (holder) => holder.finishTool('call-1'),
  (holder) => holder.finishTool('call-2', { run: 0 }),
  (holder) => holder.startAttempt(2, 1),
  (holder) => holder.end({ answerStep: 2 }),
];

/**
 * A former holder, frozen before each write in turn, wakes after a take-over. Whatever it writes changes no row and is
 * told FENCED.
 */
export async function staleWritesChangeNothing({ store, database }: StoreUnderTest): Promise<void> {
  for (const [index, stale] of COURSE.entries()) {
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    for (const write of COURSE.slice(0, index)) await send(write(former));
    await expireLeases(database, tenantId);
    await takeOver(store, tenantId, former.ref);
    const before = await rowsOf(database, tenantId);

    const write = stale(former);
    expect({ [write.name]: await refusal(write.send()) }).toEqual({ [write.name]: 'FENCED' });
    expect(await rowsOf(database, tenantId)).toEqual(before);
  }
}

export function fenceTests(get: () => StoreUnderTest): void {
  test('a former holder changes nothing, whatever it writes', () => staleWritesChangeNothing(get()));

  test('a former holder neither renews nor releases the lease', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    await expireLeases(database, tenantId);
    await takeOver(store, tenantId, former.ref);
    const before = await rowsOf(database, tenantId);
    expect(await refusal(former.renew())).toBe('FENCED');
    expect(await former.release()).toBe(false);
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });

  test('a former holder is fenced when the new one has written as much, or has ended the turn', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    const stale = former.append(2);
    await expireLeases(database, tenantId);
    const next = await takeOver(store, tenantId, former.ref);
    await send(next.append(2, 'other text'));
    expect(await refusal(stale.send())).toBe('FENCED');
    await send(next.end());
    expect(await refusal(stale.send())).toBe('FENCED');
    expect(await refusal(former.append(1).send())).toBe('FENCED');
  });

  test('a holder whose lease ran out goes on while nobody has taken over', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await expireLeases(database, tenantId);
    await send(holder.append());
    expect(await refusal(takeOver(store, tenantId, holder.ref))).toBe('LEASE_HELD');
  });

  test('every write that comes twice is applied once', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    for (const next of COURSE) {
      const write = next(holder);
      expect({ [write.name]: await write.send() }).toEqual({ [write.name]: false });
      const after = await rowsOf(database, tenantId);
      expect({ [write.name]: await write.send() }).toEqual({ [write.name]: true });
      expect(await rowsOf(database, tenantId)).toEqual(after);
    }
  });

  test('a write that was applied says so after a take-over and after the end of the turn', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    const write = former.append(2);
    await send(write);
    await expireLeases(database, tenantId);
    const next = await takeOver(store, tenantId, former.ref);
    expect(await write.send()).toBe(true);
    await send(next.end());
    expect(await write.send()).toBe(true);
  });

  test('other bytes, or another extent, under numbers that are taken are refused', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const start = holder.seq;
    await send(holder.append(3));
    const before = await rowsOf(database, tenantId);
    holder.seq = start;
    expect(await refusal(holder.append(3, 'other text').send())).toBe('FENCED');
    holder.seq = start + 1n;
    expect(await refusal(holder.append(2).send())).toBe('FENCED');
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });

  test('a gap in the numbers is refused', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const before = await rowsOf(database, tenantId);
    holder.seq += 1n;
    expect(await refusal(holder.append().send())).toBe('FENCED');
    holder.seq += 1n;
    expect(await refusal(holder.startAttempt().send())).toBe('FENCED');
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });

  test('numbers that no log can hold are refused as such', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const before = await rowsOf(database, tenantId);
    holder.seq = 2n ** 64n - 3n;
    expect(await refusal(holder.append().send())).toBe('INVALID_REQUEST');
    holder.seq = 5n;
    expect(await refusal(holder.append(0).send())).toBe('INVALID_REQUEST');
    holder.seq = 2n;
    holder.ref.epoch = 2n ** 64n - 1n;
    expect(await refusal(holder.append().send())).toBe('FENCED');
    expect(await refusal(holder.renew())).toBe('FENCED');
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });

  test('a fact that is refused leaves nothing behind, not even its events', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const before = await rowsOf(database, tenantId);
    expect(await refusal(holder.startTool('unknown-call').send())).toBe('INVALID_REQUEST');
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });
}
