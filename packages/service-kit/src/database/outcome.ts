import { createLastOutcome } from '../ops/last-outcome.ts';
import type { LastOutcome } from '../ops/last-outcome.ts';
import type { DriverErrorKind } from './errors.ts';

/** Remembers how the last use of the database went. */
export interface OutcomeRecord extends Pick<LastOutcome, 'last' | 'succeeded' | 'onChange' | 'close'> {
  /** Errors that the database answered with (a unique key, a mistake in a statement) show that it works. */
  failed(kind: DriverErrorKind, error: unknown): void;
}

/** `probe` uses the database, which comes back here; it is called only while the last use has failed. */
export function createOutcomeRecord(probe: () => Promise<unknown>): OutcomeRecord {
  const outcome = createLastOutcome({ probe });
  return {
    get last() {
      return outcome.last;
    },
    succeeded: outcome.succeeded,
    failed: (kind, error) => {
      if (kind === 'unique' || kind === 'other') outcome.succeeded();
      else outcome.failed(messageOf(error));
    },
    onChange: outcome.onChange,
    close: outcome.close,
  };
}

function messageOf(error: unknown): string {
  const isError = typeof error === 'object' && error !== null && 'message' in error;
  return String(isError ? error.message : error);
}
