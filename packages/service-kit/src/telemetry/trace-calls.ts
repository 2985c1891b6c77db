import type { CallEnd, CallObserver } from '../middleware.ts';
import { callAttributes, serverFailure, spanName, statusAttributes } from './rpc-names.ts';
import type { Tracing } from './tracing.ts';

const nothing: CallEnd = () => undefined;

/** A span for each call that is answered here, in the trace of its caller. */
export function traceCalls(tracing: Tracing): CallObserver {
  return {
    begin(method, header) {
      const name = spanName(method);
      if (name === undefined) return nothing;
      const span = tracing.startSpan(name, {
        kind: 'server',
        from: header,
        attributes: callAttributes(method),
      });
      return {
        run: (work) => span.run(work),
        ended: (code, _durationMs, error) => {
          span.set(statusAttributes(code));
          span.end(serverFailure(code, error));
        },
      };
    },
  };
}
