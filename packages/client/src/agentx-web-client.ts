import { createClient } from '@connectrpc/connect';
import type { Client, Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { withHeaders } from './headers.ts';
import type { CommonHeaders } from './headers.ts';

export interface AgentxWebClientOptions extends CommonHeaders {
  /** Where AgentX answers: `https://host`, or `/` for the page's own server. */
  readonly baseUrl: string;
  /** Timeout of calls that are no streams and name none. Default: 30,000 ms. */
  readonly defaultTimeoutMs?: number;
}

/** Typed clients for AgentX over `fetch`. */
export interface AgentxWebClient {
  readonly engine: Client<typeof EngineService>;
}

/** A client for browsers, and for whatever else has `fetch`. */
export function createAgentxWebClient(options: AgentxWebClientOptions): AgentxWebClient {
  const { baseUrl, defaultTimeoutMs = 30_000 } = options;
  const connect = createConnectTransport({ baseUrl, useBinaryFormat: true });
  // The transport's own default would end streams too.
  const transport: Transport = {
    unary: (method, signal, timeoutMs = defaultTimeoutMs, ...rest) =>
      connect.unary(method, signal, timeoutMs, ...rest),
    stream: (...call) => connect.stream(...call),
  };
  return { engine: createClient(EngineService, withHeaders(transport, options)) };
}
