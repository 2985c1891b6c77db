import { describe, expect, test } from '@jest/globals';
import { waitFor } from './wait-for.ts';

describe('waitFor', () => {
  test('gives what the condition gives once that is truthy', async () => {
    let looks = 0;
    const value = await waitFor(() => (++looks < 3 ? undefined : `look ${looks}`), {
      what: 'x',
      intervalMs: 1,
    });
    expect(value).toBe('look 3');
  });

  test('a condition that throws is not yet fulfilled', async () => {
    let looks = 0;
    const condition = async () => {
      if (++looks < 3) throw new Error('refused');
      return true;
    };
    await expect(waitFor(condition, { what: 'the server', intervalMs: 1 })).resolves.toBe(true);
  });

  test('fails with what it waited for and the last error', async () => {
    const condition = () => {
      throw new Error('connection refused');
    };
    await expect(waitFor(condition, { what: 'the server to answer', timeoutMs: 30 })).rejects.toThrow(
      'waited 30 ms for the server to answer; last error: connection refused',
    );
  });

  test('fails in time when the condition itself never ends', async () => {
    const never = () => new Promise<boolean>(() => undefined);
    await expect(waitFor(never, { what: 'an answer', timeoutMs: 30 })).rejects.toThrow(
      'waited 30 ms for an answer',
    );
  });

  test('ends early with the reason of its signal', async () => {
    const signal = AbortSignal.abort(new Error('the suite is over'));
    await expect(waitFor(() => false, { what: 'anything', signal })).rejects.toThrow('the suite is over');
  });
});
