import { createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { credentials } from '@grpc/grpc-js';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createGrpcTransport } from './grpc-transport.ts';
import { withHeaders } from './headers.ts';
import type { CommonHeaders } from './headers.ts';

export interface AgentxClientOptions extends CommonHeaders {
  /** Where AgentX answers: `http://host:port` or `https://host:port`. */
  readonly url: string;
  /** Timeout of calls that are no streams and name none. Default: 30,000 ms. */
  readonly defaultTimeoutMs?: number;
}

/** Typed clients for AgentX over one connection. */
export interface AgentxClient extends Disposable {
  readonly engine: Client<typeof EngineService>;
  /** Settles when a connection stands; rejects with UNAVAILABLE when there is none within `timeoutMs`. */
  ready(timeoutMs: number): Promise<void>;
  /** Ends the connection and the calls that run on it. */
  close(): void;
}

/** A client for Node. Throws a `TypeError` for a URL that is none of AgentX. */
export function createAgentxClient(options: AgentxClientOptions): AgentxClient {
  const { url, defaultTimeoutMs } = options;
  const { target, secure } = parseUrl(url);
  const transport = createGrpcTransport({
    target,
    services: [EngineService],
    ...(secure && { credentials: credentials.createSsl() }),
    ...(defaultTimeoutMs !== undefined && { defaultTimeoutMs }),
  });
  return {
    engine: createClient(EngineService, withHeaders(transport, options)),
    ready: (timeoutMs) => transport.ready(timeoutMs),
    close: () => transport.close(),
    [Symbol.dispose]: () => transport.close(),
  };
}

function parseUrl(text: string): { target: string; secure: boolean } {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const secure = url?.protocol === 'https:';
  if (
    url === undefined ||
    !(secure || url.protocol === 'http:') ||
    url.pathname !== '/' ||
    url.search !== ''
  ) {
    throw new TypeError(
      `"${text}" is not the URL of an AgentX server: use http://host:port or https://host:port`,
    );
  }
  const port = url.port === '' ? (secure ? '443' : '80') : url.port;
  return { target: `dns:///${url.hostname}:${port}`, secure };
}
