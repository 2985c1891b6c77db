import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type {
  DescMessage,
  DescMethod,
  DescMethodStreaming,
  DescMethodUnary,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { StreamResponse, Transport, UnaryResponse } from '@connectrpc/connect';
import { Client, credentials, status } from '@grpc/grpc-js';
import type { ChannelCredentials, ChannelOptions, ClientUnaryCall, Metadata } from '@grpc/grpc-js';
import { canceled } from './errors.ts';
import { toConnectError } from './grpc-error.ts';
import { toHeaders, toMetadata } from './grpc-metadata.ts';
import { grpcServiceConfig } from './grpc-service-config.ts';
import { GrpcStream } from './grpc-stream.ts';
import type { HeadersInit } from './headers.ts';

export interface GrpcTransportOptions {
  /** gRPC target: `dns:///host:port`, `ipv4:10.0.0.1:8091,10.0.0.2:8091`. Calls go round over all its addresses. */
  readonly target: string;
  /** The services behind it: their methods marked idempotent or without side effects are repeated when UNAVAILABLE. */
  readonly services?: readonly DescService[];
  /** Sent with every call. */
  readonly header?: HeadersInit;
  /** TLS. Default: none. */
  readonly credentials?: ChannelCredentials;
  /** Timeout of unary calls that name none. Default: 30,000 ms. Streams have none. */
  readonly defaultTimeoutMs?: number;
  /** Calls wait for a connection until their deadline, instead of failing at once while there is none. Default: false. */
  readonly waitForReady?: boolean;
  /** Largest message that is taken, in bytes. Default: 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Further options of grpc-js; they go before the ones set here. */
  readonly channelOptions?: Readonly<ChannelOptions>;
}

/** How the last call went: `ok` is false when the other side could not be reached. */
export interface CallOutcome {
  readonly ok: boolean;
  readonly at: Date;
  readonly error?: string;
}

/** A Connect transport over one gRPC channel. */
export interface GrpcTransport extends Transport {
  /** Undefined before the first call has ended. */
  readonly lastOutcome: CallOutcome | undefined;
  /** Settles when a connection stands; rejects with UNAVAILABLE when there is none within `timeoutMs`. */
  ready(timeoutMs: number): Promise<void>;
  /** Ends the channel and the calls that run on it. */
  close(): void;
}

const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** A transport over grpc-js, which balances over addresses, reconnects and repeats what may be repeated. */
export function createGrpcTransport(options: GrpcTransportOptions): GrpcTransport {
  const { target, header: common, defaultTimeoutMs = 30_000, waitForReady = false } = options;
  const client = new Client(target, options.credentials ?? credentials.createInsecure(), {
    'grpc.service_config': grpcServiceConfig(options.services ?? []),
    'grpc.service_config_disable_resolution': 1,
    'grpc.max_receive_message_length': options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 5_000,
    'grpc.dns_min_time_between_resolutions_ms': 5_000,
    ...options.channelOptions,
  });
  let lastOutcome: CallOutcome | undefined;
  const note = (error: ConnectError | undefined) => {
    const ok = error?.code !== Code.Unavailable;
    lastOutcome = { ok, at: new Date(), ...(!ok && { error: error.rawMessage }) };
  };

  return {
    get lastOutcome() {
      return lastOutcome;
    },

    unary<I extends DescMessage, O extends DescMessage>(
      method: DescMethodUnary<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit,
      input: MessageInitShape<I>,
    ): Promise<UnaryResponse<I, O>> {
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) throw canceled(signal.reason);
        const { path, encode, decode } = codecOf(method);
        const metadata = toMetadata(common, header, waitForReady);
        const deadline = Date.now() + (timeoutMs ?? defaultTimeoutMs);
        const headers = new UnaryHeaders();
        const onAbort = () => call.cancel();
        const call: ClientUnaryCall = client.makeUnaryRequest(
          path,
          encode,
          decode,
          create(method.input, input),
          metadata,
          { deadline },
          (failure, message) => {
            signal?.removeEventListener('abort', onAbort);
            if (failure === null) {
              note(undefined);
              resolve(unaryResponse(method, message as MessageShape<O>, headers));
              return;
            }
            const error = signal?.aborted === true ? canceled(signal.reason) : toConnectError(failure);
            note(error);
            reject(error);
          },
        );
        signal?.addEventListener('abort', onAbort);
        call.on('metadata', (received) => (headers.header = received));
        call.on('status', (received) => (headers.trailer = received.metadata));
      });
    },

    async stream<I extends DescMessage, O extends DescMessage>(
      method: DescMethodStreaming<I, O>,
      signal: AbortSignal | undefined,
      timeoutMs: number | undefined,
      header: HeadersInit,
      input: AsyncIterable<MessageInitShape<I>>,
    ): Promise<StreamResponse<I, O>> {
      if (method.methodKind !== 'server_streaming') {
        throw new ConnectError('methods that stream requests are not supported', Code.Unimplemented);
      }
      const request = create(method.input, await onlyRequest(input));
      if (signal?.aborted === true) throw canceled(signal.reason);
      const { path, encode, decode } = codecOf(method);
      const metadata = toMetadata(common, header, waitForReady);
      const call = client.makeServerStreamRequest<Message, Message>(path, encode, decode, request, metadata, {
        ...(timeoutMs !== undefined && { deadline: Date.now() + timeoutMs }),
      });
      call.on('status', (received) =>
        note(received.code === status.OK ? undefined : toConnectError(received)),
      );
      const messages = new GrpcStream(call, signal);
      await messages.started;
      return {
        stream: true,
        service: method.parent,
        method,
        message: messages as AsyncIterable<Message> as AsyncIterable<MessageShape<O>>,
        header: toHeaders(messages.header),
        get trailer() {
          return toHeaders(messages.trailer);
        },
      };
    },

    ready: (timeoutMs) =>
      new Promise((resolve, reject) =>
        client.waitForReady(Date.now() + timeoutMs, (error) => {
          if (error === undefined) resolve();
          else
            reject(new ConnectError(`no connection to ${target} within ${timeoutMs} ms`, Code.Unavailable));
        }),
      ),
    close: () => client.close(),
  };
}

interface Codec {
  readonly path: string;
  readonly encode: (message: Message) => Buffer;
  readonly decode: (bytes: Buffer) => Message;
}

const codecs = new WeakMap<DescMethod, Codec>();

function codecOf(method: DescMethod): Codec {
  let codec = codecs.get(method);
  if (codec === undefined) {
    codec = {
      path: `/${method.parent.typeName}/${method.name}`,
      encode(message) {
        const bytes = toBinary(method.input, message);
        return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      },
      decode: (bytes) => fromBinary(method.output, bytes),
    };
    codecs.set(method, codec);
  }
  return codec;
}

class UnaryHeaders {
  header: Metadata | undefined;
  trailer: Metadata | undefined;
}

/** Headers are made only for who asks for them. */
function unaryResponse<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  message: MessageShape<O>,
  headers: UnaryHeaders,
): UnaryResponse<I, O> {
  return {
    stream: false,
    service: method.parent,
    method,
    message,
    get header() {
      return toHeaders(headers.header);
    },
    get trailer() {
      return toHeaders(headers.trailer);
    },
  };
}

async function onlyRequest<T>(input: AsyncIterable<T>): Promise<T> {
  for await (const request of input) return request;
  throw new ConnectError('the request message is missing', Code.InvalidArgument);
}
