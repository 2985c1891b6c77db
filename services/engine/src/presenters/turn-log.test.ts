import { create, fromBinary, toJson } from '@bufbuild/protobuf';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { setImmediate as tick } from 'node:timers/promises';
import { AgentEventBatchSchema, AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { EventBatch } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createCursorCodec } from '@agentx/service-kit';
import type { LiveEvent } from './live-turn.ts';
import { createTurnLog } from './turn-log.ts';

const cursors = createCursorCodec('default', 'a1');
const place = { step: 1, attempt: 2 };
const delta = (text: string) => ({ case: 'textDelta', value: { text } }) as const;
const fact = { case: 'thinking', value: {} } as const;

/** A turn log whose writes end when the test says so. */
function start(lastSeq = 0) {
  const writes: { batch: EventBatch; by: 'append' | 'commit'; done: PromiseWithResolvers<string> }[] = [];
  const published: LiveEvent[] = [];
  const failures: unknown[] = [];
  const send = (by: 'append' | 'commit') => (batch: EventBatch) => {
    const done = Promise.withResolvers<string>();
    writes.push({ batch, by, done });
    return done.promise;
  };
  const log = createTurnLog({
    agentId: 'a1',
    turnId: 't1',
    engineId: 'e1',
    epoch: 5n,
    lastSeq,
    cursors,
    append: send('append'),
    publish: (live) => published.push(live),
    onFailed: (error) => failures.push(error),
  });
  return {
    log,
    writes,
    published,
    failures,
    commit: (...payloads: Parameters<typeof log.commit>[0][number][]) =>
      log.commit(payloads, place, send('commit')),
    seqs: () => published.map(({ seq }) => seq),
    ranges: () => writes.map(({ batch, by }) => [by, Number(batch.firstSeq), Number(batch.lastSeq)]),
  };
}

/** Lets everything happen that can without time passing. */
const settle = () => tick();

describe('without time passing', () => {
  test('deltas are seen at once, numbered on from the last event of the agent', () => {
    const { log, published, writes } = start(7);
    log.append(delta('a'), place);
    log.append(delta('b'), place);
    expect(log.lastSeq).toBe(9);
    expect(published.map(({ seq, event }) => [seq, event.cursor, event.payload.value])).toMatchObject([
      [8, cursors.encode(5n, 8), { text: 'a' }],
      [9, cursors.encode(5n, 9), { text: 'b' }],
    ]);
    expect(published[0]!.event).toMatchObject({ agentId: 'a1', turnId: 't1', engineId: 'e1', ...place });
    expect(writes).toEqual([]);
  });

  test('facts and what follows them are seen only after the commit', async () => {
    const { log, seqs, writes, commit } = start();
    log.append(delta('a'), place);
    const committed = commit(fact, fact);
    log.append(delta('b'), place);
    await settle();
    expect(seqs()).toEqual([1]);
    writes[0]!.done.resolve('answer');
    expect(await committed).toBe('answer');
    expect(seqs()).toEqual([1, 2, 3, 4]);
  });

  test('a fact carries the deltas before it, and the next one waits for it', async () => {
    const { log, ranges, writes, commit, seqs } = start();
    log.append(delta('a'), place);
    const first = commit(fact);
    log.append(delta('b'), place);
    const second = commit(fact);
    log.append(delta('c'), place);
    await settle();
    expect(ranges()).toEqual([['commit', 1, 2]]);
    writes[0]!.done.resolve('');
    await first;
    await settle();
    expect(ranges()).toEqual([
      ['commit', 1, 2],
      ['commit', 3, 4],
    ]);
    expect(seqs()).toEqual([1, 2, 3]);
    writes[1]!.done.resolve('');
    await second;
    expect(seqs()).toEqual([1, 2, 3, 4, 5]);
  });

  test('the bytes written are the events published, less what is the same for the whole batch', async () => {
    const { log, writes, commit, published } = start(3);
    log.append(delta('a'), place);
    log.append({ case: 'toolOutputDelta', value: { toolCallId: 'c1', text: 'ü\n' } }, place);
    const committed = commit(fact, { case: 'toolExecuting', value: { toolCallId: 'c1', name: 'bash' } });
    await settle();
    writes[0]!.done.resolve('');
    await committed;
    const { batch } = writes[0]!;
    expect(batch).toMatchObject({ firstSeq: 4n, lastSeq: 7n, epoch: 5n, turnId: 't1', engineId: 'e1' });
    const { events } = fromBinary(AgentEventBatchSchema, batch.events);
    const bare = published.map(({ event }) => ({
      ...event,
      agentId: '',
      turnId: '',
      engineId: '',
      cursor: '',
    }));
    expect(events.map((event) => toJson(AgentEventSchema, event))).toEqual(
      bare.map((event) => toJson(AgentEventSchema, create(AgentEventSchema, event))),
    );
  });

  test('a full batch is written at once, and while that lasts the next one grows', async () => {
    const { log, ranges, writes } = start();
    const large = delta('x'.repeat(9000));
    for (let n = 1; n <= 2; n++) log.append(large, place);
    await settle();
    expect(ranges()).toEqual([['append', 1, 2]]);
    for (let n = 3; n <= 9; n++) log.append(large, place);
    await settle();
    expect(ranges()).toHaveLength(1);
    writes[0]!.done.resolve('');
    await settle();
    expect(ranges()).toEqual([
      ['append', 1, 2],
      ['append', 3, 9],
    ]);
    writes[1]!.done.resolve('');
    await log.flush();
  });

  test('flush writes what there is and waits for what is under way', async () => {
    const { log, ranges, writes } = start();
    await log.flush();
    expect(ranges()).toEqual([]);
    log.append(delta('a'), place);
    const flushed = jest.fn();
    void log.flush().then(flushed);
    void log.flush().then(flushed);
    await settle();
    expect(ranges()).toEqual([['append', 1, 1]]);
    expect(flushed).not.toHaveBeenCalled();
    writes[0]!.done.resolve('');
    await settle();
    expect(flushed).toHaveBeenCalledTimes(2);
  });

  test('past a megabyte that is not written the writer is asked to wait', async () => {
    const { log, writes } = start();
    const large = delta('x'.repeat(100_000));
    for (let n = 0; n < 10; n++) log.append(large, place);
    expect(log.backlog()).toBeUndefined();
    log.append(large, place);
    const backlog = log.backlog();
    expect(backlog).toBeDefined();
    await settle();
    writes[0]!.done.resolve('');
    await settle();
    writes[1]!.done.resolve('');
    await backlog;
    expect(log.backlog()).toBeUndefined();
  });
});

describe('a write that fails for good', () => {
  test('stops everything and is told once', async () => {
    const { log, writes, commit, failures, seqs } = start();
    const gone = new Error('gone');
    const first = commit(fact);
    log.append(delta('a'), place);
    const second = commit(fact);
    const flushed = log.flush();
    const outcomes = Promise.allSettled([first, second, flushed]);
    await settle();
    writes[0]!.done.reject(gone);
    expect(await outcomes).toEqual(
      [first, second, flushed].map(() => ({ status: 'rejected', reason: gone })),
    );
    expect(failures).toEqual([gone]);

    const { lastSeq } = log;
    log.append(delta('b'), place);
    expect(log.lastSeq).toBe(lastSeq);
    await expect(commit(fact)).rejects.toBe(gone);
    await expect(log.flush()).rejects.toBe(gone);
    expect(writes).toHaveLength(1);
    expect(seqs()).toEqual([]);
    expect(failures).toHaveLength(1);
  });

  test('in the background is told too, and leaves no timer', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate'] });
    const { log, writes, failures } = start();
    log.append(delta('a'), place);
    await jest.advanceTimersByTimeAsync(100);
    log.append(delta('b'), place);
    writes[0]!.done.reject(new Error('gone'));
    await settle();
    expect(failures).toHaveLength(1);
    expect(jest.getTimerCount()).toBe(0);
    jest.useRealTimers();
  });
});

describe('as time passes', () => {
  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate'] });
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  test('deltas are written 100 ms after the first of them', async () => {
    const { log, ranges, writes } = start();
    log.append(delta('a'), place);
    await jest.advanceTimersByTimeAsync(60);
    log.append(delta('b'), place);
    await jest.advanceTimersByTimeAsync(39);
    expect(ranges()).toEqual([]);
    await jest.advanceTimersByTimeAsync(1);
    expect(ranges()).toEqual([['append', 1, 2]]);
    writes[0]!.done.resolve('');
    await jest.advanceTimersByTimeAsync(1000);
    expect(ranges()).toHaveLength(1);
    expect(jest.getTimerCount()).toBe(0);
  });

  test('a commit takes them along and leaves no timer', async () => {
    const { log, writes, commit } = start();
    log.append(delta('a'), place);
    const committed = commit(fact);
    await settle();
    writes[0]!.done.resolve('');
    await committed;
    expect(jest.getTimerCount()).toBe(0);
  });

  test('a slow store is given one large batch, not many small ones', async () => {
    const { log, ranges, writes } = start();
    log.append(delta('a'), place);
    await jest.advanceTimersByTimeAsync(100);
    for (let n = 0; n < 10; n++) {
      log.append(delta('b'), place);
      await jest.advanceTimersByTimeAsync(100);
    }
    expect(ranges()).toEqual([['append', 1, 1]]);
    writes[0]!.done.resolve('');
    await settle();
    expect(ranges()).toEqual([
      ['append', 1, 1],
      ['append', 2, 11],
    ]);
    writes[1]!.done.resolve('');
  });
});

type Move = 'delta' | 'fact' | 'flush' | 'write done';
const move = fc.constantFrom<Move>('delta', 'delta', 'fact', 'flush', 'write done');

test('whatever the order: one write at a time, no gap, and readers see the log in order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 40 }), fc.nat(50), async (moves, lastSeq) => {
      const { log, writes, published, commit, seqs } = start(lastSeq);
      const facts = new Set<number>();
      const pending: Promise<unknown>[] = [];
      let done = 0;
      const check = () => {
        expect(writes.length - done).toBeLessThanOrEqual(1);
        expect(seqs()).toEqual(seqs().map((_, index) => lastSeq + index + 1));
        const durable = done === 0 ? lastSeq : Number(writes[done - 1]!.batch.lastSeq);
        for (const { seq } of published) if (facts.has(seq)) expect(seq).toBeLessThanOrEqual(durable);
        // Nothing is held back but what stands behind a fact that is not committed.
        const firstOpen = Math.min(...[...facts].filter((seq) => seq > durable), log.lastSeq + 1);
        expect(seqs().length).toBe(firstOpen - 1 - lastSeq);
      };
      for (const kind of moves) {
        if (kind === 'delta') log.append(delta('x'), place);
        if (kind === 'flush') pending.push(log.flush());
        if (kind === 'fact') {
          facts.add(log.lastSeq + 1);
          pending.push(commit(fact));
        }
        if (kind === 'write done' && done < writes.length) writes[done++]!.done.resolve('');
        await settle();
        check();
      }
      pending.push(log.flush());
      await settle();
      while (done < writes.length) {
        writes[done++]!.done.resolve('');
        await settle();
      }
      await Promise.all(pending);
      check();
      const rows = writes.map(({ batch }) => [Number(batch.firstSeq), Number(batch.lastSeq)]);
      let next = lastSeq + 1;
      for (const [first, last] of rows) {
        expect(first).toBe(next);
        expect(last).toBeGreaterThanOrEqual(first!);
        next = last! + 1;
      }
      expect(next).toBe(log.lastSeq + 1);
    }),
    { numRuns: 100 },
  );
});
