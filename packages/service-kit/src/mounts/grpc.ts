import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMethod, Message } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type {
  Metadata,
  MethodDefinition,
  ServerInterceptor,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition as GrpcServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
  sendUnaryData,
} from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { HealthImplementation } from 'grpc-health-check';
import { Health as HealthDesc } from '@agentx/gen/grpc/health/v1/health_pb.ts';
import { DomainError, toConnectError } from '../errors.ts';
import type { Health } from '../health/health.ts';
import type { IncomingCall } from '../middleware-call.ts';
import { methodName } from '../middleware-call.ts';
import type { BoundMethod, BoundService, BoundStream, BoundUnary, ServiceChain } from '../middleware.ts';
import { reflectFiles } from '../reflection/files.ts';
import { REFLECTION_SERVICES } from '../reflection/reflection-service.ts';
import type { ServiceDefinition } from '../service.ts';
import { toGrpcError } from './grpc-status.ts';
import { DEFAULT_MAX_MESSAGE_BYTES, listenAddress, listenError, toHostPort } from './rpc-server.ts';
import type { RpcServer } from './rpc-server.ts';

export interface MountGrpcOptions {
  readonly health: Health;
  /** Largest message in bytes, both ways. Default: 64 MiB. */
  readonly maxMessageBytes?: number;
  /** TLS. Default: none. */
  readonly credentials?: ServerCredentials;
  /** See every call before its handler, those of health and reflection too. */
  readonly interceptors?: readonly ServerInterceptor[];
}

/** A gRPC server for `services`, with health and reflection: what internal services serve. */
export function mountGrpc(
  services: readonly ServiceDefinition[],
  chain: ServiceChain,
  options: MountGrpcOptions,
): RpcServer {
  const maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  const server = new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': 4096,
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    interceptors: [...(options.interceptors ?? [])],
  });
  for (const service of services) {
    const bound = chain.bind(service);
    server.addService(grpcDefinition(bound), grpcHandlers(bound));
  }
  addHealth(server, options.health);
  addReflection(server, services);

  return {
    async listen(address) {
      const wanted = toHostPort(address);
      const { host } = wanted;
      const text = listenAddress(wanted).text;
      const credentials = options.credentials ?? ServerCredentials.createInsecure();
      const port = await new Promise<number>((resolve, reject) =>
        server.bindAsync(text, credentials, (error, bound) => {
          if (error === null) resolve(bound);
          // grpc-js tells the system's code in its text only.
          else reject(listenError(wanted, /\bE[A-Z]{4,}\b/.exec(error.message)?.[0], error));
        }),
      );
      return listenAddress({ host, port });
    },
    async close(graceMs) {
      const timer = setTimeout(() => server.forceShutdown(), graceMs);
      try {
        await new Promise<void>((resolve, reject) =>
          server.tryShutdown((error) => (error === undefined ? resolve() : reject(error))),
        );
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

function grpcDefinition({ methods }: BoundService): GrpcServiceDefinition {
  // Messages are encoded and decoded by the handlers, so that what is wrong with one is told and logged like any error.
  const pass = (bytes: Buffer) => bytes;
  return Object.fromEntries(
    methods.map(({ kind, method }): [string, MethodDefinition<Buffer, Buffer>] => [
      method.name,
      {
        path: `/${methodName(method)}`,
        requestStream: false,
        responseStream: kind === 'server_streaming',
        requestSerialize: pass,
        requestDeserialize: pass,
        responseSerialize: pass,
        responseDeserialize: pass,
      },
    ]),
  );
}

function grpcHandlers({ methods }: BoundService): UntypedServiceImplementation {
  return Object.fromEntries(methods.map((bound) => [bound.method.name, grpcHandler(bound)]));
}

function grpcHandler(bound: BoundMethod): UntypedHandleCall {
  if (bound.kind === 'unary') {
    return (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
      handleUnary(bound, call).then(
        (response) => answer(null, response),
        (error: unknown) => answer(toGrpcError(toConnectError(error))),
      );
    };
  }
  return (call: ServerWritableStream<Buffer, Buffer>) => {
    void handleStream(bound, call);
  };
}

async function handleUnary(bound: BoundUnary, call: ServerUnaryCall<Buffer, Buffer>): Promise<Buffer> {
  const response = await bound.invoke(decode(bound.method, call.request), new GrpcCall(call));
  return encode(bound.method, response);
}

/** Never rejects: what goes wrong is told to the caller. */
async function handleStream(bound: BoundStream, call: ServerWritableStream<Buffer, Buffer>): Promise<void> {
  try {
    const messages = bound.invoke(decode(bound.method, call.request), new GrpcCall(call));
    for await (const message of messages) {
      if (!call.write(encode(bound.method, message))) await drained(call);
      if (call.cancelled) break;
    }
    call.end();
  } catch (error) {
    call.emit('error', toGrpcError(toConnectError(error)));
  }
}

/** Waits until the caller has read, or has left. */
function drained(call: ServerWritableStream<Buffer, Buffer>): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off('drain', done);
      call.off('cancelled', done);
      resolve();
    };
    call.on('drain', done);
    call.on('cancelled', done);
    if (call.cancelled) done();
  });
}

function decode(method: DescMethod, bytes: Buffer): Message {
  try {
    return fromBinary(method.input, bytes);
  } catch (cause) {
    const text = `the request is not a valid ${method.input.typeName}`;
    throw new DomainError(Code.InvalidArgument, 'INVALID_REQUEST', text, { cause });
  }
}

function encode(method: DescMethod, message: Message): Buffer {
  const bytes = toBinary(method.output, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

class GrpcCall implements IncomingCall {
  readonly signal: AbortSignal;
  readonly timeoutMs: number | undefined;
  readonly #metadata: Metadata;
  #header: Headers | undefined;

  constructor(call: ServerUnaryCall<Buffer, Buffer> | ServerWritableStream<Buffer, Buffer>) {
    const left = new AbortController();
    this.signal = left.signal;
    call.on('cancelled', () => left.abort());
    if (call.cancelled) left.abort();
    const deadline = Number(call.getDeadline());
    this.timeoutMs = Number.isFinite(deadline) ? deadline - Date.now() : undefined;
    this.#metadata = call.metadata;
  }

  get header(): Headers {
    return (this.#header ??= toHeaders(this.#metadata));
  }
}

function toHeaders(metadata: Metadata): Headers {
  const headers = new Headers();
  for (const [key, value] of Object.entries(metadata.getMap())) {
    headers.set(key, typeof value === 'string' ? value : value.toString('base64'));
  }
  return headers;
}

function addHealth(server: Server, health: Health): void {
  const implementation = new HealthImplementation();
  const tell = (service: string, serving: boolean) => {
    implementation.setStatus(service, serving ? 'SERVING' : 'NOT_SERVING');
  };
  for (const [service, serving] of health.statuses()) tell(service, serving);
  health.onChange(tell);
  implementation.addToServer(server);
}

function addReflection(server: Server, services: readonly ServiceDefinition[]): void {
  const { encoded, services: names } = reflectFiles([
    ...services.map(({ desc }) => desc),
    HealthDesc,
    ...REFLECTION_SERVICES,
  ]);
  // Of a package definition only the encoded files are read.
  const files = { agentx: { fileDescriptorProtos: encoded.map((bytes) => Buffer.from(bytes)) } };
  new ReflectionService(files as unknown as ConstructorParameters<typeof ReflectionService>[0], {
    services: [...names],
  }).addToServer(server);
}
