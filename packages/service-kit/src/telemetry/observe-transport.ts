import type {
  DescMessage,
  DescMethod,
  DescMethodStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { ContextValues, StreamResponse, Transport, UnaryResponse } from '@connectrpc/connect';

type HeadersInit = ConstructorParameters<typeof Headers>[0];

/** Sees each call that goes out, from its beginning to its end. Must not throw. */
export interface TransportObserver {
  /** Called before a call; undefined where the call is of no interest. What it puts into the header is sent along. */
  begin(method: DescMethod, header: () => Headers): OutgoingCall | undefined;
}

export interface OutgoingCall {
  /** Wraps the call itself. */
  run?<T>(work: () => T): T;
  /** The first message of a stream is here: the other side works. */
  answered?(): void;
  /** Called once, with what the call failed with. `left`: its reader left the stream before the end. */
  ended(error: unknown, left: boolean): void;
}

/** The same transport, with an observer of its calls. */
export function observeTransport(inner: Transport, observer: TransportObserver): Transport {
  return {
    async unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      init: HeadersInit,
      input: MessageInitShape<I>,
      values?: ContextValues,
    ): Promise<UnaryResponse<I, O>> {
      const { call, header } = begin(observer, method, init);
      const send = () => inner.unary(method, signal, timeoutMs, header, input, values);
      if (call === undefined) return send();
      try {
        const response = await within(call, send);
        call.ended(undefined, false);
        return response;
      } catch (error) {
        call.ended(error, false);
        throw error;
      }
    },

    async stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      init: HeadersInit,
      input: AsyncIterable<MessageInitShape<I>>,
      values?: ContextValues,
    ): Promise<StreamResponse<I, O>> {
      const { call, header } = begin(observer, method, init);
      const send = () => inner.stream(method, signal, timeoutMs, header, input, values);
      if (call === undefined) return send();
      try {
        return new ObservedResponse(await within(call, send), call, signal);
      } catch (error) {
        call.ended(error, false);
        throw error;
      }
    },
  };
}

function begin(observer: TransportObserver, method: DescMethod, init: HeadersInit) {
  let made: Headers | undefined;
  const call = observer.begin(method, () => (made ??= new Headers(init)));
  return { call, header: made ?? init };
}

function within<T>(call: OutgoingCall, work: () => T): T {
  return call.run === undefined ? work() : call.run(work);
}

class ObservedResponse<I extends DescMessage, O extends DescMessage> implements StreamResponse<I, O> {
  readonly stream = true;
  readonly message: AsyncIterable<MessageShape<O>>;
  readonly #inner: StreamResponse<I, O>;

  constructor(inner: StreamResponse<I, O>, call: OutgoingCall, signal: AbortSignal | undefined) {
    this.#inner = inner;
    this.message = {
      [Symbol.asyncIterator]: () => new ObservedMessages(inner.message[Symbol.asyncIterator](), call, signal),
    };
  }

  get service() {
    return this.#inner.service;
  }

  get method() {
    return this.#inner.method;
  }

  get header(): Headers {
    return this.#inner.header;
  }

  get trailer(): Headers {
    return this.#inner.trailer;
  }
}

class ObservedMessages<T> implements AsyncIterator<T> {
  readonly #inner: AsyncIterator<T>;
  readonly #call: OutgoingCall;
  readonly #signal: AbortSignal | undefined;
  #answered = false;
  #ended = false;

  constructor(inner: AsyncIterator<T>, call: OutgoingCall, signal: AbortSignal | undefined) {
    this.#inner = inner;
    this.#call = call;
    this.#signal = signal;
    // Clients of Connect leave a stream by their signal alone: they call neither `return` nor `next` again.
    signal?.addEventListener('abort', this.#onLeft);
    if (signal?.aborted === true) this.#onLeft();
  }

  async next(): Promise<IteratorResult<T>> {
    try {
      const result = await this.#inner.next();
      if (result.done === true) this.#end(undefined, false);
      else if (!this.#answered) {
        this.#answered = true;
        this.#call.answered?.();
      }
      return result;
    } catch (error) {
      this.#end(error, false);
      throw error;
    }
  }

  async return(): Promise<IteratorResult<T>> {
    this.#end(undefined, true);
    await this.#inner.return?.();
    return { done: true, value: undefined };
  }

  readonly #onLeft = (): void => {
    this.#end(undefined, true);
  };

  #end(error: unknown, left: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal?.removeEventListener('abort', this.#onLeft);
    this.#call.ended(error, left);
  }
}
