import type { DependencyOutcome } from './readiness.ts';

export interface LastOutcomeOptions {
  /**
   * Uses the dependency and notes how that went. Called only while the last use has failed: who is told that it cannot be
   * reached sends nothing more, so nothing else would find out that it is back.
   */
  readonly probe: () => Promise<unknown>;
  /** Pause before the first probe; each further one is twice as long, up to `lastPauseMs`. Default: 500. */
  readonly firstPauseMs?: number;
  /** Default: 15,000. */
  readonly lastPauseMs?: number;
}

/** Remembers how the last use of something went. */
export interface LastOutcome {
  /** Undefined before the first use. */
  readonly last: DependencyOutcome | undefined;
  readonly succeeded: () => void;
  /** @param error what failed, for people */
  readonly failed: (error: string) => void;
  /** Calls back when uses begin to fail and when they succeed again, until the function that it returns is called. */
  readonly onChange: (listener: (ok: boolean) => void) => () => void;
  /** Stops asking. */
  readonly close: () => void;
}

/** @see LastOutcome */
export function createLastOutcome(options: LastOutcomeOptions): LastOutcome {
  const { probe, firstPauseMs = 500, lastPauseMs = 15_000 } = options;
  const listeners = new Set<(ok: boolean) => void>();
  let ok = true;
  let atMs: number | undefined;
  let message = '';
  let pauseMs = firstPauseMs;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  function note(nowOk: boolean): void {
    atMs = Date.now();
    if (ok === nowOk) return;
    ok = nowOk;
    if (ok) {
      clearTimeout(timer);
      pauseMs = firstPauseMs;
    } else askLater();
    for (const listener of listeners) listener(ok);
  }

  function askLater(): void {
    if (closed) return;
    timer = setTimeout(() => void ask(), pauseMs).unref();
    pauseMs = Math.min(2 * pauseMs, lastPauseMs);
  }

  async function ask(): Promise<void> {
    const asked = timer;
    // What went wrong is noted by the probe itself.
    await probe().catch(() => undefined);
    if (!ok && timer === asked) askLater();
  }

  return {
    get last() {
      if (atMs === undefined) return undefined;
      return ok ? { ok, at: new Date(atMs) } : { ok, at: new Date(atMs), error: message };
    },
    succeeded: () => {
      note(true);
    },
    failed: (error) => {
      message = error;
      note(false);
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: () => {
      closed = true;
      clearTimeout(timer);
    },
  };
}
