import type { IncomingMessage, ServerResponse } from 'node:http';
import { Http2ServerResponse } from 'node:http2';
import type { Http2ServerRequest } from 'node:http2';
import { createConnectRouter } from '@connectrpc/connect';
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect';
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { Logger } from 'pino';
import { Health as HealthDesc } from '@agentx/gen/grpc/health/v1/health_pb.ts';
import { defineHealthService } from '../health/health-service.ts';
import type { Health } from '../health/health.ts';
import type { IncomingCall } from '../middleware-call.ts';
import type { BoundService, ServiceChain } from '../middleware.ts';
import { identifyByHeader } from '../identity.ts';
import { reflectFiles } from '../reflection/files.ts';
import { addReflection, REFLECTION_SERVICES } from '../reflection/reflection-service.ts';
import type { ServiceDefinition } from '../service.ts';
import { readToEnd } from './read-to-end.ts';
import { DEFAULT_MAX_MESSAGE_BYTES } from './rpc-server.ts';

/** Answers requests of an HTTP/1.1 or an HTTP/2 server. */
export type RequestHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

export interface MountConnectOptions {
  readonly log: Logger;
  readonly health: Health;
  /** Largest message in bytes, both ways. Default: 64 MiB. */
  readonly maxMessageBytes?: number;
  /** Answers requests that are no calls. Default: 404. */
  readonly fallback?: RequestHandler;
}

/** Serves `services` by gRPC, gRPC-Web and Connect, with health and reflection: what clients and browsers reach. */
export function mountConnect(
  services: readonly ServiceDefinition[],
  chain: ServiceChain,
  options: MountConnectOptions,
): RequestHandler {
  const maxMessageBytes = options.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, compressionBrotli],
    readMaxBytes: maxMessageBytes,
    writeMaxBytes: maxMessageBytes,
  });
  for (const service of services) addService(router, chain.bind(service));
  // Whoever asks for health need not say who they are.
  addService(router, chain.bind(defineHealthService(options.health), { identify: identifyByHeader }));
  addReflection(
    router,
    reflectFiles([...services.map(({ desc }) => desc), HealthDesc, ...REFLECTION_SERVICES]),
  );

  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const fallback = options.fallback ?? notFound;
  return (request, response) => {
    const handler = handlers.get(request.url?.split('?', 1)[0] ?? '');
    if (handler === undefined) {
      fallback(request, response);
      return;
    }
    handler(universalRequestFromNodeRequest(request, response, undefined, undefined))
      .then((answer) => {
        if (answer.body === undefined) readToEnd(request);
        return send(answer, response);
      })
      .catch((error: unknown) => {
        // The caller has left, or sent what HTTP does not allow; how its call ended is logged by the chain.
        options.log.debug({ err: error, path: request.url }, 'answer could not be sent');
        response.destroy();
      });
  };
}

function addService(router: ConnectRouter, { methods }: BoundService): void {
  for (const bound of methods) {
    if (bound.kind === 'unary') {
      router.rpc(bound.method, (request, context) => bound.invoke(request, new ConnectCall(context)));
    } else {
      router.rpc(bound.method, (request, context) => bound.invoke(request, new ConnectCall(context)));
    }
  }
}

class ConnectCall implements IncomingCall {
  readonly header: Headers;
  readonly signal: AbortSignal;
  readonly timeoutMs: number | undefined;

  constructor(context: HandlerContext) {
    this.header = context.requestHeader;
    this.signal = context.signal;
    this.timeoutMs = context.timeoutMs();
  }
}

/**
 * Sends an answer. Nothing leaves before the first message or the end is known. A gRPC call that ends without a
 * message is answered by headers alone ("trailers-only"): proxies retry by the status only where it stands there.
 */
async function send(
  answer: UniversalServerResponse,
  response: ServerResponse | Http2ServerResponse,
): Promise<void> {
  if (answer.body === undefined) return universalResponseToNodeResponse(answer, response);
  const messages = answer.body[Symbol.asyncIterator]();
  const first = await messages.next();
  if (first.done === true) respellMessage(answer.trailer);
  if (first.done === true && answer.trailer !== undefined && response instanceof Http2ServerResponse) {
    response.statusCode = answer.status;
    for (const part of [answer.header, answer.trailer])
      part?.forEach((value, key) => response.setHeader(key, value));
    response.end();
    return;
  }
  await universalResponseToNodeResponse(
    { ...answer, body: startingWith(first, messages, () => respellMessage(answer.trailer)) },
    response,
  );
}

/**
 * Spells an error's text with as few percent signs as gRPC allows. Connect escapes punctuation too, which grpc-js leaves
 * as it is when it reads.
 */
function respellMessage(trailer: Headers | undefined): void {
  const escaped = trailer?.get('grpc-message');
  if (escaped === undefined || escaped === null) return;
  const text = encodeURI(decodeURIComponent(escaped)).replaceAll('%20', ' ');
  trailer?.set('grpc-message', text);
}

/** The rest of an iterator of which one result was read ahead. */
function startingWith<T>(
  first: IteratorResult<T>,
  rest: AsyncIterator<T>,
  atEnd: () => void,
): AsyncIterable<T> {
  let ahead: IteratorResult<T> | undefined = first;
  const iterator: AsyncIterator<T> = {
    async next() {
      const result = ahead ?? (await rest.next());
      ahead = undefined;
      if (result.done === true) atEnd();
      return result;
    },
    return: (value: unknown) => rest.return?.(value) ?? Promise.resolve({ done: true, value }),
    throw: (error: unknown) => rest.throw?.(error) ?? Promise.resolve({ done: true, value: undefined }),
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

const notFound: RequestHandler = (request, response) => {
  readToEnd(request);
  response.statusCode = 404;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end('nothing is served under this path\n');
};
