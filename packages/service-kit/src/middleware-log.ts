import { Code } from '@connectrpc/connect';
import type { Logger } from 'pino';
import { codeOf } from './errors.ts';
import type { ActiveCall } from './middleware-call.ts';
import { methodName } from './middleware-call.ts';
import type { CallEnd, CallObserver } from './middleware.ts';

/** Tells the log and the observers of calls. */
export interface CallLog {
  /** Says that a call began; call the answer once when it has ended, with what its handler threw, if anything. */
  begin(call: ActiveCall): (error: unknown) => void;
}

/**
 * One debug line for each call with its method, code and duration. What the caller is not told is logged where the
 * server is at fault: unknown errors at error level, domain errors that have a cause at warn level.
 */
export function createCallLog(log: Logger, observers: readonly CallObserver[]): CallLog {
  return {
    begin(call) {
      const ends = observers.map((observer) => beginObserved(observer, call));
      return (error) => {
        const durationMs = performance.now() - call.startedAt;
        const code = error === undefined ? undefined : (codeOf(error) ?? Code.Internal);
        call.run(() => logEnd(log, call, error, code, durationMs));
        for (const end of ends) end(code, durationMs, error);
      };
    },
  };
}

function beginObserved(observer: CallObserver, call: ActiveCall): CallEnd {
  const observed = observer.begin(call.method, call.header);
  if (typeof observed === 'function') return observed;
  call.runWithin(observed.run);
  return observed.ended;
}

function logEnd(
  log: Logger,
  call: ActiveCall,
  error: unknown,
  code: Code | undefined,
  durationMs: number,
): void {
  if (error !== undefined) logFault(call, error, code);
  if (!log.isLevelEnabled('debug')) return;
  log.debug(
    { method: methodName(call.method), code: code === undefined ? 'OK' : Code[code], durationMs },
    'call',
  );
}

function logFault(call: ActiveCall, error: unknown, code: Code | undefined): void {
  const cause = error instanceof Error ? error.cause : undefined;
  const fields = { method: methodName(call.method), code: code === undefined ? 'OK' : Code[code] };
  switch (code) {
    case Code.Internal:
    case Code.Unknown:
    case Code.DataLoss:
      call.log.error({ ...fields, err: error }, 'call failed');
      return;
    default:
      if (cause !== undefined) call.log.warn({ ...fields, err: error }, 'call failed');
  }
}
