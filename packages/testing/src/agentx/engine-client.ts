import { createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';

export type EngineClient = Client<typeof EngineService>;

/** A plain gRPC client of an engine: no retries and nothing of AgentX's own in between. `close` breaks what is open. */
export function connectEngine(url: string): { engine: EngineClient; close: () => void } {
  const sessionManager = new Http2SessionManager(url);
  const transport = createGrpcTransport({ baseUrl: url, sessionManager });
  return { engine: createClient(EngineService, transport), close: () => sessionManager.abort() };
}
