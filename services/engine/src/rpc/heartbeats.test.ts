import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { withHeartbeats } from './heartbeats.ts';

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick'] });
});
afterEach(() => {
  jest.useRealTimers();
});

/** A source that yields what it is told to, and ends when the reader leaves. */
function createSource() {
  const stop = new AbortController();
  let next = Promise.withResolvers<readonly string[] | undefined>();
  let cleanedUp = false;
  const source = async function* () {
    try {
      for (;;) {
        const left = new Promise<undefined>((resolve) => {
          stop.signal.addEventListener('abort', () => resolve(undefined), { once: true });
        });
        const group = await Promise.race([next.promise, left]);
        if (group === undefined) return;
        next = Promise.withResolvers();
        yield group;
      }
    } finally {
      cleanedUp = true;
    }
  };
  const beats = withHeartbeats(source(), 1000, () => 'beat', stop);
  return {
    beats,
    stop,
    give: (...group: string[]) => next.resolve(group),
    end: () => next.resolve(undefined),
    fail: (error: Error) => next.reject(error),
    get cleanedUp() {
      return cleanedUp;
    },
  };
}

test('passes events on one by one, and the end', async () => {
  const source = createSource();
  source.give('a', 'b');
  expect(await source.beats.next()).toEqual({ done: false, value: 'a' });
  expect(await source.beats.next()).toEqual({ done: false, value: 'b' });
  source.end();
  expect(await source.beats.next()).toEqual({ done: true, value: undefined });
  expect(source.cleanedUp).toBe(true);
  expect(jest.getTimerCount()).toBe(0);
});

test('beats while nothing comes, and only then', async () => {
  const source = createSource();
  for (let round = 0; round < 3; round++) {
    const silent = source.beats.next();
    const settled = jest.fn();
    void silent.then(settled);
    await jest.advanceTimersByTimeAsync(999);
    expect(settled).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(await silent).toEqual({ done: false, value: 'beat' });
    const event = source.beats.next();
    await jest.advanceTimersByTimeAsync(999);
    source.give('a');
    expect(await event).toEqual({ done: false, value: 'a' });
    expect(jest.getTimerCount()).toBe(0);
  }
});

test('passes a failure on and cleans up', async () => {
  const source = createSource();
  const next = source.beats.next();
  source.fail(new Error('broken'));
  await expect(next).rejects.toThrow('broken');
  expect(source.stop.signal.aborted).toBe(true);
  expect(jest.getTimerCount()).toBe(0);
});

test.each(['an event', 'a heartbeat'])(
  'a reader that leaves after %s leaves nothing behind',
  async (after) => {
    const source = createSource();
    const next = source.beats.next();
    if (after === 'an event') source.give('a', 'b');
    else await jest.advanceTimersByTimeAsync(1000);
    await next;
    expect(await source.beats.return()).toEqual({ done: true, value: undefined });
    expect(source.cleanedUp).toBe(true);
    expect(jest.getTimerCount()).toBe(0);
  },
);

test('a source whose wait fails when the reader leaves is no unhandled failure', async () => {
  const source = createSource();
  const beat = source.beats.next();
  await jest.advanceTimersByTimeAsync(1000);
  await beat;
  source.stop.signal.addEventListener('abort', () => source.fail(new Error('canceled')));
  await source.beats.return();
  expect(source.cleanedUp).toBe(true);
});

test('nothing gathers on a source that stays silent for long', async () => {
  const silence = new Promise<IteratorResult<readonly string[], void>>(() => undefined);
  const then = jest.spyOn(silence, 'then');
  const source = { next: () => silence, return: async () => ({ done: true, value: undefined }) };
  const stop = new AbortController();
  const beats = withHeartbeats(source as unknown as AsyncGenerator<string[], void>, 1000, () => 'beat', stop);
  for (let round = 0; round < 10; round++) {
    const beat = beats.next();
    await jest.advanceTimersByTimeAsync(1000);
    expect((await beat).value).toBe('beat');
  }
  expect(then.mock.calls.length).toBeLessThanOrEqual(1);
});
