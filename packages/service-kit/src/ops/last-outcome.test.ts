import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { createLastOutcome } from './last-outcome.ts';
import type { LastOutcome } from './last-outcome.ts';

let outcome: LastOutcome;
let probes: number[];
let probe: () => Promise<void>;
let changes: boolean[];

beforeEach(() => {
  jest.useFakeTimers({ now: 0 });
  probes = [];
  changes = [];
  probe = () => {
    outcome.failed('still away');
    return Promise.resolve();
  };
  outcome = createLastOutcome({
    probe: () => {
      probes.push(Date.now());
      return probe();
    },
    firstPauseMs: 100,
    lastPauseMs: 1000,
  });
  outcome.onChange((ok) => changes.push(ok));
});

afterEach(() => {
  outcome.close();
  jest.useRealTimers();
});

test('nothing is asked before the first use, nor while uses succeed', async () => {
  expect(outcome.last).toBeUndefined();
  outcome.succeeded();
  await jest.advanceTimersByTimeAsync(3_600_000);
  outcome.succeeded();
  await jest.advanceTimersByTimeAsync(3_600_000);
  expect(probes).toEqual([]);
  expect(outcome.last).toEqual({ ok: true, at: new Date(3_600_000) });
  expect(changes).toEqual([]);
});

test('after a failure it is asked after longer and longer pauses, up to a longest one', async () => {
  outcome.failed('refused');
  expect(outcome.last).toEqual({ ok: false, at: new Date(0), error: 'refused' });
  await jest.advanceTimersByTimeAsync(4500);
  expect(probes).toEqual([100, 300, 700, 1500, 2500, 3500, 4500]);
  expect(outcome.last).toEqual({ ok: false, at: new Date(4500), error: 'still away' });
  expect(changes).toEqual([false]);
});

test('failures of others neither hurry the next question nor put it off', async () => {
  outcome.failed('refused');
  await jest.advanceTimersByTimeAsync(90);
  outcome.failed('refused');
  await jest.advanceTimersByTimeAsync(90);
  expect(probes).toEqual([100]);
});

test('asking ends with the first success, whoever had it, and begins anew with the next failure', async () => {
  outcome.failed('refused');
  await jest.advanceTimersByTimeAsync(400);
  outcome.succeeded();
  await jest.advanceTimersByTimeAsync(60_000);
  expect(probes).toEqual([100, 300]);

  outcome.failed('refused');
  probe = () => {
    outcome.succeeded();
    return Promise.resolve();
  };
  await jest.advanceTimersByTimeAsync(60_000);
  expect(probes).toEqual([100, 300, 60_500]);
  expect(changes).toEqual([false, true, false, true]);
});

test('a question that gets no answer is not asked twice at a time, and none is asked after the end', async () => {
  const answered = Promise.withResolvers<undefined>();
  probe = async () => {
    await answered.promise;
    throw new Error('no answer');
  };
  outcome.failed('refused');
  await jest.advanceTimersByTimeAsync(5000);
  expect(probes).toEqual([100]);
  outcome.close();
  answered.resolve(undefined);
  await jest.advanceTimersByTimeAsync(5000);
  expect(probes).toEqual([100]);
});
