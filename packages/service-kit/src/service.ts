import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { CallContext } from './context.ts';

/** Answers one request with one message. */
export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => Promise<MessageInitShape<O>>;

/** Answers one request with a stream. Its iterator's `return` is called when the caller leaves before the end. */
export type StreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  context: CallContext,
) => AsyncIterable<MessageInitShape<O>>;

/** The handler of one method. Methods that stream requests are not supported. */
export type Handler<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? StreamHandler<I, O>
      : never;

/** Handlers by the method's name in TypeScript. A method without one answers UNIMPLEMENTED `NOT_IMPLEMENTED`. */
export type Handlers<S extends DescService> = { [K in keyof S['method']]?: Handler<S['method'][K]> };

/** A handler whose types are no longer known. */
export type AnyHandler = (request: Message, context: CallContext) => unknown;

/** A service and what answers its methods: defined once, mounted anywhere. */
export interface ServiceDefinition<S extends DescService = DescService> {
  readonly desc: S;
  readonly handlers: ReadonlyMap<DescMethod, AnyHandler>;
}

/**
 * Defines a service by its methods' handlers. Requests come validated; answers may be plain initialisers. A message
 * that was received or handed out must not be changed: on the direct mount both sides hold the same object.
 */
export function defineService<S extends DescService>(desc: S, handlers: Handlers<S>): ServiceDefinition<S> {
  const byName = handlers as Record<string, AnyHandler | undefined>;
  const known = new Map<DescMethod, AnyHandler>();
  for (const method of desc.methods) {
    const handler = byName[method.localName];
    if (handler === undefined) continue;
    if (method.methodKind !== 'unary' && method.methodKind !== 'server_streaming') {
      throw new Error(`${desc.typeName}/${method.name}: methods that stream requests are not supported`);
    }
    known.set(method, handler.bind(handlers));
  }
  return { desc, handlers: known };
}
