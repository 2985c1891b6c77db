import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { Code, ConnectError } from '@connectrpc/connect';
import { createLogger, DomainError } from '@agentx/service-kit';
import { createLeaseKeeper } from './lease-keeper.ts';
import type { LeaseKeeper, LeaseLostError } from './lease-keeper.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const TTL_MS = 9000;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick'] });
});
afterEach(() => {
  jest.useRealTimers();
});

function start(renew: () => Promise<unknown>, heldSinceMs = performance.now()) {
  const lost: LeaseLostError[] = [];
  const renewals = jest.fn(renew);
  const keeper: LeaseKeeper = createLeaseKeeper({
    ttlMs: TTL_MS,
    heldSinceMs,
    renew: renewals,
    onLost: (error) => lost.push(error),
    log,
  });
  return { keeper, lost, renewals };
}

const fine = () => Promise.resolve();
const unreachable = () => Promise.reject(new ConnectError('no connection', Code.Unavailable));

test('renews after a third of the TTL without a write, again and again', async () => {
  const { keeper, lost, renewals } = start(fine);
  await jest.advanceTimersByTimeAsync(2999);
  expect(renewals).toHaveBeenCalledTimes(0);
  await jest.advanceTimersByTimeAsync(1);
  expect(renewals).toHaveBeenCalledTimes(1);
  await jest.advanceTimersByTimeAsync(9000);
  expect(renewals).toHaveBeenCalledTimes(4);
  expect(lost).toEqual([]);
  keeper.stop();
  expect(jest.getTimerCount()).toBe(0);
});

test('does not renew while the turn writes', async () => {
  const { keeper, renewals } = start(fine);
  for (let round = 0; round < 10; round++) {
    await jest.advanceTimersByTimeAsync(2000);
    keeper.extended(performance.now());
  }
  expect(renewals).toHaveBeenCalledTimes(0);
  keeper.stop();
});

test('counts from when a write was sent, not from its answer', async () => {
  const { keeper, renewals } = start(fine);
  const sentAtMs = performance.now();
  await jest.advanceTimersByTimeAsync(2900);
  keeper.extended(sentAtMs);
  await jest.advanceTimersByTimeAsync(100);
  expect(renewals).toHaveBeenCalledTimes(1);
  keeper.stop();
});

test('counts from when the lease was asked for', async () => {
  const { keeper, renewals } = start(fine, performance.now() - 2000);
  await jest.advanceTimersByTimeAsync(1000);
  expect(renewals).toHaveBeenCalledTimes(1);
  keeper.stop();
});

test.each([
  ['fail', unreachable],
  ['are never answered', () => new Promise(() => undefined)],
])('gives up once after two thirds of the TTL when renewals %s', async (_, renew) => {
  const { keeper, lost } = start(renew);
  await jest.advanceTimersByTimeAsync(5999);
  expect(lost).toEqual([]);
  expect(keeper.lost).toBeUndefined();
  await jest.advanceTimersByTimeAsync(1);
  expect(lost).toHaveLength(1);
  expect(keeper.lost).toBe(lost[0]);
  await jest.advanceTimersByTimeAsync(60_000);
  expect(lost).toHaveLength(1);
  expect(jest.getTimerCount()).toBe(0);
});

test('goes on when a renewal succeeds after failed ones', async () => {
  let failures = 3;
  const { keeper, lost, renewals } = start(() => (failures-- > 0 ? unreachable() : fine()));
  await jest.advanceTimersByTimeAsync(20_000);
  expect(renewals.mock.calls.length).toBeGreaterThan(4);
  expect(lost).toEqual([]);
  keeper.stop();
});

test('goes on when a write succeeds while renewals fail', async () => {
  const { keeper, lost } = start(unreachable);
  await jest.advanceTimersByTimeAsync(5000);
  keeper.extended(performance.now());
  await jest.advanceTimersByTimeAsync(5000);
  expect(lost).toEqual([]);
  keeper.stop();
});

test('gives up at once when it is fenced', async () => {
  const { lost } = start(() => Promise.reject(new DomainError(Code.Aborted, 'FENCED', 'taken over')));
  await jest.advanceTimersByTimeAsync(3000);
  expect(lost).toHaveLength(1);
  expect(jest.getTimerCount()).toBe(0);
});

test('beats at each success until nobody listens', async () => {
  const { keeper } = start(fine);
  const beat = jest.fn();
  const stopListening = keeper.onBeat(beat);
  keeper.extended(performance.now());
  await jest.advanceTimersByTimeAsync(3000);
  expect(beat).toHaveBeenCalledTimes(2);
  stopListening();
  keeper.extended(performance.now());
  expect(beat).toHaveBeenCalledTimes(2);
  expect(keeper.maxSilenceMs).toBe(6000);
  keeper.stop();
});

test('a renewal that is answered after the stop arms nothing', async () => {
  const answer = Promise.withResolvers<unknown>();
  const { keeper, lost } = start(() => answer.promise);
  await jest.advanceTimersByTimeAsync(3000);
  keeper.stop();
  answer.reject(new DomainError(Code.Aborted, 'FENCED', 'taken over'));
  await jest.advanceTimersByTimeAsync(60_000);
  expect(lost).toEqual([]);
  expect(jest.getTimerCount()).toBe(0);
});
