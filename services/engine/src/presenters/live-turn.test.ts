import { create } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { createLiveTurn } from './live-turn.ts';
import type { LiveReader } from './live-turn.ts';

const live = (seq: number) => ({ seq, event: create(AgentEventSchema, { cursor: String(seq) }) });

/** Everything that a reader is given, and why it ended. */
async function readAll(reader: LiveReader): Promise<{ seqs: number[]; end: string }> {
  const seqs: number[] = [];
  for (;;) {
    const next = await reader.next();
    if (typeof next === 'string') return { seqs, end: next };
    seqs.push(...next.map(({ seq }) => seq));
  }
}

test('each reader gets what was published since it came', async () => {
  const turn = createLiveTurn(3n);
  const first = turn.subscribe();
  turn.publish(live(1));
  const second = turn.subscribe();
  turn.publish(live(2));
  turn.end('ended');
  expect(first.epoch).toBe(3n);
  expect(await readAll(first)).toEqual({ seqs: [1, 2], end: 'ended' });
  expect(await readAll(second)).toEqual({ seqs: [2], end: 'ended' });
});

test('a reader that waits is given the next event', async () => {
  const turn = createLiveTurn(1n);
  const reader = turn.subscribe();
  const next = reader.next();
  const event = live(1);
  turn.publish(event);
  expect(await next).toEqual([event]);
  const end = reader.next();
  turn.end('lost');
  expect(await end).toBe('lost');
});

test('a slow reader is dropped and keeps no one else back', async () => {
  const turn = createLiveTurn(1n);
  const slow = turn.subscribe();
  const quick = turn.subscribe();
  let taken = 0;
  for (let seq = 1; seq <= 5000; seq++) {
    turn.publish(live(seq));
    if (seq % 1000 === 0) taken += (await quick.next()).length;
  }
  turn.end('ended');
  const { seqs, end } = await readAll(slow);
  expect(end).toBe('behind');
  expect(seqs).toEqual(Array.from({ length: 4096 }, (_, index) => index + 1));
  expect(taken).toBe(5000);
  expect(await quick.next()).toBe('ended');
});

test.each(['ended', 'lost'] as const)('who comes after a turn was %s is told so at once', async (why) => {
  const turn = createLiveTurn(1n);
  turn.publish(live(1));
  turn.end(why);
  expect(await turn.subscribe().next()).toBe(why);
});

test('a reader that was closed gets nothing more', async () => {
  const turn = createLiveTurn(1n);
  const reader = turn.subscribe();
  const waiting = reader.next();
  reader.close();
  expect(await waiting).toBe('lost');
  turn.publish(live(1));
  turn.end('ended');
  expect(await reader.next()).toBe('lost');
});
