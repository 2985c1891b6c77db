import { create } from '@bufbuild/protobuf';
import type { DescMessage, DescMethodServerStreaming, Message, MessageInitShape } from '@bufbuild/protobuf';
import type { ConnectError } from '@connectrpc/connect';
import { toConnectError } from './errors.ts';
import type { DomainError } from './errors.ts';
import { admit } from './middleware-admit.ts';
import { ActiveCall, callerLeft } from './middleware-call.ts';
import type { IncomingCall } from './middleware-call.ts';
import type { BoundStream, ChainParts } from './middleware.ts';
import type { Identify } from './identity.ts';
import type { AnyHandler } from './service.ts';

/** Puts a streaming handler behind the chain. */
export function bindStream(
  parts: ChainParts,
  method: DescMethodServerStreaming,
  handler: AnyHandler,
  identify: Identify,
): BoundStream['invoke'] {
  return (request, incoming) => new GuardedStream(parts, method, handler, identify, request, incoming);
}

type Source = AsyncIterator<MessageInitShape<DescMessage>>;
type Result = IteratorResult<Message, undefined>;

const DONE: Result = { done: true, value: undefined };

/**
 * The messages of one call. Pulls from the handler only what its reader asks for; ends at once when the call is cut
 * short, whether or not the handler heeds its signal.
 */
class GuardedStream implements AsyncIterableIterator<Message, undefined> {
  readonly #parts: ChainParts;
  readonly #method: DescMethodServerStreaming;
  readonly #handler: AnyHandler;
  readonly #identify: Identify;
  readonly #request: Message;
  readonly #call: ActiveCall;
  readonly #ended: (error: unknown) => void;
  #source: Source | undefined;
  /** Rejects the read that waits. */
  #reject: ((error: unknown) => void) | undefined;
  #closed = false;
  /** What the next read throws, where the call was cut short between two reads. */
  #failure: ConnectError | undefined;

  constructor(
    parts: ChainParts,
    method: DescMethodServerStreaming,
    handler: AnyHandler,
    identify: Identify,
    request: Message,
    incoming: IncomingCall,
  ) {
    this.#parts = parts;
    this.#method = method;
    this.#handler = handler;
    this.#identify = identify;
    this.#request = request;
    this.#call = new ActiveCall(parts, method, request, incoming, incoming.timeoutMs);
    this.#ended = parts.callLog.begin(this.#call);
    this.#call.onAbort = (reason) => this.#cutShort(reason);
    if (this.#call.abortReason !== undefined) this.#cutShort(this.#call.abortReason);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<Result> {
    if (this.#failure !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      return Promise.reject(failure);
    }
    if (this.#closed) return Promise.resolve(DONE);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      const fail = (error: unknown) => {
        if (this.#closed) return;
        this.#close(error);
        reject(toConnectError(error));
      };
      this.#call.run(this.#pull).then((result) => {
        if (this.#closed) return;
        this.#reject = undefined;
        if (result.done === true) {
          this.#close(undefined);
          resolve(DONE);
          return;
        }
        try {
          resolve({ done: false, value: create(this.#method.output, result.value) });
        } catch (error) {
          fail(error);
          void this.#stopSource();
        }
      }, fail);
    });
  }

  /** The reader leaves before the end. Settles when the handler has cleaned up. */
  async return(): Promise<Result> {
    this.#failure = undefined;
    if (!this.#closed) {
      const reason = callerLeft();
      this.#close(reason);
      this.#call.abort(reason);
      await this.#stopSource();
    }
    return DONE;
  }

  readonly #pull = () => (this.#source === undefined ? this.#start() : this.#source.next());

  async #start(): Promise<IteratorResult<MessageInitShape<DescMessage>>> {
    await admit(this.#parts, this.#method, this.#identify, this.#call, this.#request);
    // The caller may have left meanwhile.
    if (this.#closed) return { done: true, value: undefined };
    const messages = this.#handler(this.#request, this.#call) as AsyncIterable<MessageInitShape<DescMessage>>;
    this.#source = messages[Symbol.asyncIterator]();
    return this.#source.next();
  }

  #cutShort(reason: DomainError): void {
    if (this.#closed) return;
    this.#close(reason);
    const failure = toConnectError(reason);
    if (this.#reject === undefined) this.#failure = failure;
    else this.#reject(failure);
    void this.#stopSource();
  }

  #close(error: unknown): void {
    this.#closed = true;
    this.#call.settle();
    this.#ended(error);
  }

  /** Runs the handler's clean-up; one that fails is logged, since nobody is left to be told. */
  async #stopSource(): Promise<void> {
    try {
      await this.#call.run(() => this.#source?.return?.());
    } catch (error) {
      if (error !== this.#call.abortReason)
        this.#call.log.warn({ err: error }, 'clean-up of a stream failed');
    }
  }
}
