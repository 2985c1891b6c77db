import { create } from '@bufbuild/protobuf';
import type {
  DescMessage,
  DescMethod,
  DescMethodStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { StreamResponse, Transport, UnaryResponse } from '@connectrpc/connect';
import { methodName } from '../middleware-call.ts';
import type { IncomingCall } from '../middleware-call.ts';
import type { BoundMethod, BoundStream, BoundUnary, ServiceChain } from '../middleware.ts';
import type { ServiceDefinition } from '../service.ts';

type HeadersInit = ConstructorParameters<typeof Headers>[0];

/**
 * A transport that calls the handlers in this process, through the same chain as over the network but without
 * encoding: what one side hands out the other holds, so neither may change it afterwards.
 */
export function createDirectTransport(
  services: readonly ServiceDefinition[],
  chain: ServiceChain,
): Transport {
  const methods = new Map<DescMethod, BoundMethod>();
  for (const service of services) {
    for (const bound of chain.bind(service).methods) methods.set(bound.method, bound);
  }
  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit,
      input: MessageInitShape<I>,
    ): Promise<UnaryResponse<I, O>> {
      const bound = methods.get(method) as BoundUnary | undefined;
      if (bound === undefined) throw unknownMethod(method);
      const request = create(method.input, input);
      const message = await bound.invoke(request, new DirectCall(signal, timeoutMs, header));
      return new DirectUnaryResponse(method, message as MessageShape<O>);
    },

    async stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit,
      input: AsyncIterable<MessageInitShape<I>>,
    ): Promise<StreamResponse<I, O>> {
      const bound = methods.get(method) as BoundStream | undefined;
      if (bound === undefined) throw unknownMethod(method);
      const request = create(method.input, await onlyRequest(input));
      const messages = bound.invoke(request, new DirectCall(signal, timeoutMs, header));
      return new DirectStreamResponse(method, messages as AsyncIterable<MessageShape<O>>);
    },
  };
}

class DirectCall implements IncomingCall {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly #init: HeadersInit;
  #header: Headers | undefined;

  constructor(signal: AbortSignal | undefined, timeoutMs: number | undefined, init: HeadersInit) {
    this.signal = signal;
    this.timeoutMs = timeoutMs;
    this.#init = init;
  }

  get header(): Headers {
    return (this.#header ??= new Headers(this.#init));
  }
}

/** Headers are made only for who asks for them. */
class DirectResponse {
  get header(): Headers {
    return new Headers();
  }

  get trailer(): Headers {
    return new Headers();
  }
}

class DirectUnaryResponse<I extends DescMessage, O extends DescMessage>
  extends DirectResponse
  implements UnaryResponse<I, O>
{
  readonly stream = false;
  readonly method: DescMethodUnary<I, O>;
  readonly message: MessageShape<O>;

  constructor(method: DescMethodUnary<I, O>, message: MessageShape<O>) {
    super();
    this.method = method;
    this.message = message;
  }

  get service() {
    return this.method.parent;
  }
}

class DirectStreamResponse<I extends DescMessage, O extends DescMessage>
  extends DirectResponse
  implements StreamResponse<I, O>
{
  readonly stream = true;
  readonly method: DescMethodStreaming<I, O>;
  readonly message: AsyncIterable<MessageShape<O>>;

  constructor(method: DescMethodStreaming<I, O>, message: AsyncIterable<MessageShape<O>>) {
    super();
    this.method = method;
    this.message = message;
  }

  get service() {
    return this.method.parent;
  }
}

async function onlyRequest<T>(input: AsyncIterable<T>): Promise<T> {
  for await (const request of input) return request;
  throw new ConnectError('the request message is missing', Code.InvalidArgument);
}

function unknownMethod(method: DescMethod): ConnectError {
  return new ConnectError(`${methodName(method)} is not served here`, Code.Unimplemented);
}
