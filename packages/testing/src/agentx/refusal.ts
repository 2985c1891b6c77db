import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';

/** How a call was refused. */
export interface Refusal {
  /** `InvalidArgument`, `NotFound` … */
  readonly code: string;
  /** The machine-readable reason; empty where there is none. */
  readonly reason: string;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The refusal of a call, unary or streaming. Throws when the call succeeds. */
export async function refusalOf(call: Promise<unknown> | AsyncIterable<unknown>): Promise<Refusal> {
  const messages: unknown[] = [];
  try {
    if (Symbol.asyncIterator in call) for await (const message of call) messages.push(message);
    else messages.push(await call);
  } catch (cause) {
    const error = ConnectError.from(cause);
    const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === 'agentx');
    return {
      code: Code[error.code],
      reason: info?.reason ?? '',
      message: error.rawMessage,
      metadata: info?.metadata ?? {},
    };
  }
  throw new Error(`the call was not refused but answered with ${messages.length} messages`);
}
