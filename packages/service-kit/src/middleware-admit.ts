import type { DescMethod, Message } from '@bufbuild/protobuf';
import { shuttingDown } from './middleware-call.ts';
import type { ActiveCall } from './middleware-call.ts';
import type { ChainParts } from './middleware.ts';
import type { Identify } from './identity.ts';

/** Lets a call through to its handler: the server is open, the caller is known, the request keeps the contract's rules. */
export async function admit(
  parts: ChainParts,
  method: DescMethod,
  identify: Identify,
  call: ActiveCall,
  request: Message,
): Promise<void> {
  if (parts.shuttingDown) throw shuttingDown();
  const identity = identify(call.header);
  call.identity = identity instanceof Promise ? await identity : identity;
  parts.validate(method.input, request);
}
