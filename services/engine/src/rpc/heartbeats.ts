/**
 * Passes groups of events on, and a heartbeat whenever nothing came for a while. `stop` ends what the source waits for
 * when the reader leaves.
 */
export async function* withHeartbeats<T>(
  source: AsyncGenerator<readonly T[], void>,
  intervalMs: number,
  heartbeat: () => T,
  stop: AbortController,
): AsyncGenerator<T, void> {
  try {
    for (;;) {
      const next = awaitRepeatedly(source.next());
      while (!(await next.within(intervalMs))) yield heartbeat();
      const group = await next.value;
      if (group.done === true) return;
      yield* group.value;
    }
  } finally {
    stop.abort();
    await source.return();
  }
}

/** Like racing a promise against timers, but nothing gathers on the promise however often it is awaited. */
function awaitRepeatedly<T>(value: Promise<T>) {
  let settled = false;
  let wake: (() => void) | undefined;
  const onSettled = () => {
    settled = true;
    wake?.();
  };
  value.then(onSettled, onSettled);
  return {
    value,
    /** True as soon as the promise has settled, false after so long. */
    within: async (ms: number): Promise<boolean> => {
      if (settled) return true;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      return settled;
    },
  };
}
