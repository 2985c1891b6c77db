import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import type { ErrorInfo } from '@agentx/gen/google/rpc/error_details_pb.ts';

/**
 * What AgentX says of an error: a `reason` that programs may rely on, such as `TURN_IN_PROGRESS`, and in `metadata` the
 * facts, such as the turn that is in the way. Undefined for errors that are none of AgentX, such as a lost connection.
 */
export function errorInfoOf(error: unknown): ErrorInfo | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  return error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === 'agentx');
}

/** The error of a call that its own caller gave up. */
export function canceled(cause: unknown): ConnectError {
  return new ConnectError('the call was canceled', Code.Canceled, undefined, undefined, cause);
}
