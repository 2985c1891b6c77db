import type {
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
} from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import type { Logger } from 'pino';
import { DomainError } from './errors.ts';
import { identifyByHeader } from './identity.ts';
import type { Identify } from './identity.ts';
import { createCallLog } from './middleware-log.ts';
import type { CallLog } from './middleware-log.ts';
import { shuttingDown } from './middleware-call.ts';
import type { ActiveCall, IncomingCall } from './middleware-call.ts';
import { bindStream } from './middleware-stream.ts';
import { bindUnary } from './middleware-unary.ts';
import { createRequestValidation } from './middleware-validation.ts';
import type { ValidateRequest } from './middleware-validation.ts';
import type { AnyHandler, ServiceDefinition } from './service.ts';
import { traceCalls } from './telemetry/trace-calls.ts';
import { activeTracing } from './telemetry/tracing.ts';

/** Sees each call begin and end, for metrics and traces. Must not throw. */
export interface CallObserver {
  /** Called when a call begins. */
  begin(method: DescMethod, header: Headers): CallEnd | ObservedCall;
}

/** Called once when a call has ended: with undefined for OK, else with what its handler threw. */
export type CallEnd = (code: Code | undefined, durationMs: number, error?: unknown) => void;

/** A call whose observer also wraps its handler. */
export interface ObservedCall {
  readonly ended: CallEnd;
  /** Runs a piece of the handler; of a stream there are many. */
  readonly run: <T>(work: () => T) => T;
}

export interface ServiceChainOptions {
  readonly log: Logger;
  /** Who calls. Default: the tenant of `TENANT_HEADER`. */
  readonly identify?: Identify;
  /** Longest time that a unary call may take, whatever its caller asks for. Default: 60,000 ms. Streams have no maximum. */
  readonly maxUnaryMs?: number;
  readonly observers?: readonly CallObserver[];
  /** Aborts every call, those to come too, with UNAVAILABLE `SHUTTING_DOWN`. */
  readonly signal?: AbortSignal;
}

/** A unary method behind the chain. Rejects with a `ConnectError` only. */
export interface BoundUnary {
  readonly kind: 'unary';
  readonly method: DescMethodUnary;
  readonly invoke: (request: Message, incoming: IncomingCall) => Promise<Message>;
}

/** A server-streaming method behind the chain. Its iterator rejects with a `ConnectError` only; read it one at a time. */
export interface BoundStream {
  readonly kind: 'server_streaming';
  readonly method: DescMethodServerStreaming;
  readonly invoke: (request: Message, incoming: IncomingCall) => AsyncIterableIterator<Message, undefined>;
}

export type BoundMethod = BoundUnary | BoundStream;

/** A service whose methods stand behind the chain: what mounts serve. */
export interface BoundService {
  readonly desc: DescService;
  readonly methods: readonly BoundMethod[];
}

/**
 * The one way from a mount to a handler: identity, validation, deadline, errors, logging, metrics. Put together once
 * for each method when it is mounted, not for each call.
 */
export interface ServiceChain {
  /** @param options.identify tells who calls this service, instead of the chain's own way */
  bind(definition: ServiceDefinition, options?: { readonly identify?: Identify }): BoundService;
  /** Calls that run now. */
  readonly activeCalls: number;
  /** Cuts all running calls short with UNAVAILABLE `SHUTTING_DOWN` and refuses later ones with the same. */
  shutDown(): void;
}

/** What the parts of the chain share. */
export interface ChainParts {
  readonly log: Logger;
  readonly identify: Identify;
  readonly validate: ValidateRequest;
  readonly maxUnaryMs: number;
  readonly callLog: CallLog;
  readonly calls: Set<ActiveCall>;
  shuttingDown: boolean;
}

/** @see ServiceChain */
export function createServiceChain(options: ServiceChainOptions): ServiceChain {
  const parts: ChainParts = {
    log: options.log,
    identify: options.identify ?? identifyByHeader,
    validate: createRequestValidation(),
    maxUnaryMs: options.maxUnaryMs ?? 60_000,
    callLog: createCallLog(options.log, observersOf(options)),
    calls: new Set(),
    shuttingDown: false,
  };
  const shutDown = () => {
    parts.shuttingDown = true;
    for (const call of parts.calls) call.abort(shuttingDown());
  };
  options.signal?.addEventListener('abort', shutDown, { once: true });
  if (options.signal?.aborted === true) shutDown();
  return {
    bind({ desc, handlers }, { identify = parts.identify } = {}) {
      const methods = desc.methods.flatMap((method) =>
        bindMethod(parts, method, handlers.get(method) ?? notImplemented(method), identify),
      );
      return { desc, methods };
    },
    get activeCalls() {
      return parts.calls.size;
    },
    shutDown,
  };
}

/** Traces come by themselves where the environment asks for them. */
function observersOf({ observers = [] }: ServiceChainOptions): readonly CallObserver[] {
  const tracing = activeTracing();
  return tracing === undefined ? observers : [...observers, traceCalls(tracing)];
}

function bindMethod(
  parts: ChainParts,
  method: DescMethod,
  handler: AnyHandler,
  identify: Identify,
): BoundMethod[] {
  switch (method.methodKind) {
    case 'unary': {
      const unary = method as DescMethodUnary;
      return [{ kind: 'unary', method: unary, invoke: bindUnary(parts, unary, handler, identify) }];
    }
    case 'server_streaming': {
      const stream = method as DescMethodServerStreaming;
      return [
        { kind: 'server_streaming', method: stream, invoke: bindStream(parts, stream, handler, identify) },
      ];
    }
    default:
      return [];
  }
}

function notImplemented(method: DescMethod): AnyHandler {
  return () => {
    throw new DomainError(Code.Unimplemented, 'NOT_IMPLEMENTED', `${method.name} is not built yet`);
  };
}
