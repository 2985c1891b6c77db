import type { ConnectError } from '@connectrpc/connect';
import { status } from '@grpc/grpc-js';
import type { ClientReadableStream, Metadata, StatusObject } from '@grpc/grpc-js';
import { canceled } from './errors.ts';
import { toConnectError } from './grpc-error.ts';

/**
 * The messages of a server stream, pulled: while nobody asks for the next one, at most a few are read ahead and the
 * server is held back.
 */
export class GrpcStream<T> implements AsyncIterableIterator<T, undefined> {
  /** Settles when the response's headers are here, or the end is. */
  readonly started: Promise<void>;
  header: Metadata | undefined;
  trailer: Metadata | undefined;

  readonly #call: ClientReadableStream<T>;
  readonly #signal: AbortSignal | undefined;
  #waiting: ((result: Promise<IteratorResult<T, undefined>>) => void) | undefined;
  #error: ConnectError | undefined;
  #ended = false;

  constructor(call: ClientReadableStream<T>, signal: AbortSignal | undefined) {
    this.#call = call;
    this.#signal = signal;
    this.started = new Promise((resolve) => {
      call.on('metadata', (metadata) => {
        this.header = metadata;
        resolve();
      });
      call.on('status', () => resolve());
    });
    call.on('readable', () => this.#wake());
    // Every error comes as a status too; without a listener it would be thrown.
    call.on('error', () => undefined);
    call.on('status', (received) => this.#end(received));
    signal?.addEventListener('abort', this.#onAbort);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const read = this.#read();
    if (read !== undefined) return read;
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#close();
    this.#call.cancel();
    return Promise.resolve({ done: true, value: undefined });
  }

  readonly #onAbort = (): void => {
    this.#error ??= canceled(this.#signal?.reason);
    this.#call.cancel();
  };

  #read(): Promise<IteratorResult<T, undefined>> | undefined {
    const value = this.#call.read() as T | null;
    if (value !== null) return Promise.resolve({ done: false, value });
    if (!this.#ended) return undefined;
    const error = this.#error;
    this.#error = undefined;
    return error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
  }

  #wake(): void {
    if (this.#waiting === undefined) return;
    const read = this.#read();
    if (read === undefined) return;
    this.#waiting(read);
    this.#waiting = undefined;
  }

  #end(received: StatusObject): void {
    this.trailer = received.metadata;
    if (received.code !== status.OK) this.#error ??= toConnectError(received);
    this.#close();
    this.#wake();
  }

  #close(): void {
    this.#ended = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
  }
}
