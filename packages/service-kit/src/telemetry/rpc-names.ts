import type { DescMethod } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { codeOf, reasonOf } from '../errors.ts';
import type { SpanAttributes } from './tracing.ts';

/** Calls that are not traced: asked for health all day, and open for as long as both processes live. */
const UNTRACED: ReadonlySet<string> = new Set([
  'grpc.health.v1.Health/Check',
  'grpc.health.v1.Health/List',
  'grpc.health.v1.Health/Watch',
  'agentx.session.v1.SessionStoreService/WatchWork',
]);

/** Codes that tell of a fault of the server, as against one of the caller. */
const SERVER_FAULTS: ReadonlySet<Code> = new Set([
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Unimplemented,
  Code.Internal,
  Code.Unavailable,
  Code.DataLoss,
]);

/** Name of a call's span; undefined for a call that is not traced. */
export function spanName(method: DescMethod): string | undefined {
  const name = `${method.parent.typeName}/${method.name}`;
  return UNTRACED.has(name) ? undefined : name;
}

/** OpenTelemetry's names for what is called. */
export function callAttributes(method: DescMethod): SpanAttributes {
  return { 'rpc.system': 'grpc', 'rpc.service': method.parent.typeName, 'rpc.method': method.name };
}

/** … and for how it ended. */
export function statusAttributes(code: Code | undefined): SpanAttributes {
  return { 'rpc.grpc.status_code': code ?? 0 };
}

/** The failure of a call as the caller sees it: any. */
export function clientFailure(error: unknown): string {
  return reasonOf(error) ?? Code[codeOf(error) ?? Code.Unknown];
}

/** The failure of a call as the server sees it; undefined where the caller is at fault, or has left. */
export function serverFailure(code: Code | undefined, error: unknown): string | undefined {
  if (code === undefined || !SERVER_FAULTS.has(code)) return undefined;
  return reasonOf(error) ?? Code[code];
}
