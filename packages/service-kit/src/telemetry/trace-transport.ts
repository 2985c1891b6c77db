import type { Transport } from '@connectrpc/connect';
import { codeOf } from '../errors.ts';
import { observeTransport } from './observe-transport.ts';
import { callAttributes, clientFailure, spanName, statusAttributes } from './rpc-names.ts';
import { activeTracing } from './tracing.ts';

/** The transport with a span for each call that it makes, told to the other side; as it is where nothing is traced. */
export function traceTransport(transport: Transport): Transport {
  const tracing = activeTracing();
  if (tracing === undefined) return transport;
  return observeTransport(transport, {
    begin(method, header) {
      const name = spanName(method);
      if (name === undefined) return undefined;
      const span = tracing.startSpan(name, { kind: 'client', attributes: callAttributes(method) });
      span.carry(header());
      return {
        run: (work) => span.run(work),
        ended: (error) => {
          span.set(statusAttributes(error === undefined ? undefined : codeOf(error)));
          span.end(error === undefined ? undefined : clientFailure(error));
        },
      };
    },
  });
}
