import { setTimeout as sleep } from 'node:timers/promises';

export interface WaitOptions {
  /** What is awaited, for the error: 'the lease to expire'. */
  what: string;
  /** How long to wait; 10 s by default. */
  timeoutMs?: number;
  /** The pause between two looks; 25 ms by default. */
  intervalMs?: number;
  /** Ends the wait early with the signal's reason. */
  signal?: AbortSignal;
}

/**
 * Looks again and again until `condition` gives something truthy, and returns that.
 * A condition that throws counts as "not yet". Throws after `timeoutMs`, naming `what` and the last thing the
 * condition threw.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what, timeoutMs = 10_000, intervalMs = 25, signal }: WaitOptions,
): Promise<NonNullable<T>> {
  const end = endOfWait(timeoutMs, signal);
  let lastError: unknown;
  try {
    for (;;) {
      const seen = await Promise.race([look(condition), end.reached]);
      if (seen === 'end') break;
      if ('error' in seen) lastError = seen.error;
      else if (seen.value) return seen.value;
      if ((await Promise.race([sleep(intervalMs), end.reached])) === 'end') break;
    }
  } finally {
    end.cancel();
  }
  signal?.throwIfAborted();
  const because = lastError === undefined ? '' : `; last error: ${describe(lastError)}`;
  throw new Error(`waited ${timeoutMs} ms for ${what}${because}`, { cause: lastError });
}

function endOfWait(timeoutMs: number, signal: AbortSignal | undefined) {
  const { promise: reached, resolve } = Promise.withResolvers<'end'>();
  const end = () => {
    resolve('end');
  };
  const timer = setTimeout(end, timeoutMs);
  signal?.addEventListener('abort', end);
  if (signal?.aborted === true) end();
  const cancel = () => {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  };
  return { reached, cancel };
}

async function look<T>(condition: () => T | Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await condition() };
  } catch (error) {
    return { error };
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
