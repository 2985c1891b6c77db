import type { Outcome } from './database.ts';
import type { DriverErrorKind } from './errors.ts';

/** Remembers how the last use of the database went. */
export interface OutcomeRecord {
  readonly last: Outcome | undefined;
  succeeded(): void;
  /** Errors that the database answered with (a unique key, a mistake in a statement) show that it works. */
  failed(kind: DriverErrorKind, error: unknown): void;
  readonly onChange: (listener: (ok: boolean) => void) => () => void;
  /** Stops asking. */
  close(): void;
}

/** Who is told that the data cannot be reached sends nothing more; so after a failure the database is asked. */
const probeAfterMs = 2_000;

/** `probe` uses the database, which comes back here; it is called only while the last use has failed. */
export function createOutcomeRecord(probe: () => Promise<unknown>): OutcomeRecord {
  let ok = true;
  let atMs: number | undefined;
  let message = '';
  let timer: NodeJS.Timeout | undefined;
  const listeners = new Set<(ok: boolean) => void>();

  const record = (nowOk: boolean) => {
    atMs = Date.now();
    clearTimeout(timer);
    // The probe's own failure is recorded like any other, and asks for the next one.
    timer = nowOk ? undefined : setTimeout(() => void probe().catch(() => undefined), probeAfterMs).unref();
    if (ok === nowOk) return;
    ok = nowOk;
    for (const listener of listeners) listener(ok);
  };
  return {
    get last() {
      if (atMs === undefined) return undefined;
      return ok ? { ok, at: new Date(atMs) } : { ok, at: new Date(atMs), error: message };
    },
    succeeded() {
      record(true);
    },
    failed(kind, error) {
      message = messageOf(error);
      record(kind === 'unique' || kind === 'other');
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close() {
      clearTimeout(timer);
    },
  };
}

function messageOf(error: unknown): string {
  const isError = typeof error === 'object' && error !== null && 'message' in error;
  return String(isError ? error.message : error);
}
