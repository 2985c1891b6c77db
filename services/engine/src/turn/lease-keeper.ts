import { Code } from '@connectrpc/connect';
import { codeOf, reasonOf } from '@agentx/service-kit';
import type { Logger } from '@agentx/service-kit';
import type { Heartbeat } from '../tools/tool.ts';

/** This engine no longer holds the turn: it stops at once and writes nothing more. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
}

export interface LeaseKeeperOptions {
  readonly ttlMs: number;
  /** `performance.now()` before the lease was asked for: it lasts from then at least. */
  readonly heldSinceMs: number;
  /** Extends the lease. */
  readonly renew: () => Promise<unknown>;
  /** Called once when the lease is lost or may be. */
  readonly onLost: (error: LeaseLostError) => void;
  readonly log: Logger;
}

/** Keeps a lease while the turn writes nothing. */
export interface LeaseKeeper extends Heartbeat {
  /** Set once the lease is lost or may be. */
  readonly lost: LeaseLostError | undefined;
  /** A write succeeded that was sent at this time of `performance.now()`: the lease lasts from then at least. */
  extended(sentAtMs: number): void;
  stop(): void;
}

/**
 * Renews after a third of the TTL without a write, and gives the turn up when two thirds have passed without any
 * success: measured by this process's monotonic clock from before sending, so that it gives up before the store does.
 */
export function createLeaseKeeper(options: LeaseKeeperOptions): LeaseKeeper {
  const { ttlMs, renew, onLost, log } = options;
  const listeners = new Set<() => void>();
  const quietMs = ttlMs / 3;
  const maxSilenceMs = (2 * ttlMs) / 3;
  let lastMs = options.heldSinceMs;
  let stopped = false;
  let renewing = false;
  let lost: LeaseLostError | undefined;
  let timer = setTimeout(look, untilMs(quietMs));

  function extended(sentAtMs: number): void {
    lastMs = Math.max(lastMs, sentAtMs);
    for (const beat of listeners) beat();
  }

  /** Time until nothing has succeeded for so long. */
  function untilMs(silenceMs: number): number {
    return Math.max(0, lastMs + silenceMs - performance.now());
  }

  function again(ms: number): void {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(look, ms);
  }

  function look(): void {
    if (untilMs(maxSilenceMs) === 0) {
      lose(new LeaseLostError('the lease could not be extended in time'));
      return;
    }
    if (renewing || untilMs(quietMs) > 0) {
      again(untilMs(renewing ? maxSilenceMs : quietMs));
      return;
    }
    renewNow();
    // A renewal that never answers must not keep the turn going.
    again(untilMs(maxSilenceMs));
  }

  function renewNow(): void {
    const sentAtMs = performance.now();
    renewing = true;
    renew().then(
      () => {
        renewing = false;
        extended(sentAtMs);
        again(untilMs(quietMs));
      },
      (error: unknown) => {
        renewing = false;
        if (codeOf(error) === Code.Aborted && reasonOf(error) === 'FENCED') {
          lose(new LeaseLostError('another engine has taken the turn over', { cause: error }));
          return;
        }
        log.warn({ err: error }, 'renewing the lease failed, trying again');
        again(Math.min(quietMs / 4, untilMs(maxSilenceMs)));
      },
    );
  }

  function lose(error: LeaseLostError): void {
    if (stopped) return;
    lost = error;
    stop();
    onLost(error);
  }

  function stop(): void {
    stopped = true;
    clearTimeout(timer);
  }

  return {
    maxSilenceMs,
    get lost() {
      return lost;
    },
    onBeat: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    extended,
    stop,
  };
}
