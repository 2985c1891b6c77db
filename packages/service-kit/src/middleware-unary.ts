import { create } from '@bufbuild/protobuf';
import type { DescMessage, DescMethodUnary, Message, MessageInitShape } from '@bufbuild/protobuf';
import { toConnectError } from './errors.ts';
import { admit } from './middleware-admit.ts';
import { ActiveCall } from './middleware-call.ts';
import type { BoundUnary, ChainParts } from './middleware.ts';
import type { Identify } from './identity.ts';
import type { AnyHandler } from './service.ts';

/** Puts a unary handler behind the chain. */
export function bindUnary(
  parts: ChainParts,
  method: DescMethodUnary,
  handler: AnyHandler,
  identify: Identify,
): BoundUnary['invoke'] {
  const run = async (call: ActiveCall, request: Message): Promise<Message> => {
    await admit(parts, method, identify, call, request);
    return create(method.output, (await handler(request, call)) as MessageInitShape<DescMessage>);
  };

  return (request, incoming) => {
    const { timeoutMs } = incoming;
    const limitMs = timeoutMs === undefined ? parts.maxUnaryMs : Math.min(timeoutMs, parts.maxUnaryMs);
    const call = new ActiveCall(parts, method, request, incoming, limitMs);
    return new Promise((resolve, reject) => {
      const ended = parts.callLog.begin(call);
      const fail = (error: unknown) => {
        call.settle();
        ended(error);
        reject(toConnectError(error));
      };
      // A handler that does not heed its signal must not hold the caller: the caller is answered at once, and what the
      // handler does afterwards changes nothing.
      call.onAbort = fail;
      if (call.abortReason !== undefined) {
        fail(call.abortReason);
        return;
      }
      call
        .run(() => run(call, request))
        .then(
          (response) => {
            if (call.abortReason !== undefined) return;
            call.settle();
            ended(undefined);
            resolve(response);
          },
          (error: unknown) => {
            if (call.abortReason === undefined) fail(error);
            else if (error !== call.abortReason)
              call.log.debug({ err: error }, 'failed after its call was cut short');
          },
        );
    });
  };
}
