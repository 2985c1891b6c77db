import { createClient } from '@connectrpc/connect';
import type { CallOptions, Client, Transport } from '@connectrpc/connect';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { TENANT_HEADER, traceTransport } from '@agentx/service-kit';

/** The engine's view of the stores: typed clients, whatever lies beneath them. */
export interface Stores {
  readonly session: Client<typeof SessionStoreService>;
  readonly stats: Client<typeof StatisticsStoreService>;
  readonly state: Client<typeof StateStoreService>;
}

/** Options of a store call made in the name of a tenant. */
export function actingFor(tenantId: string, options: Omit<CallOptions, 'headers'> = {}): CallOptions {
  return { ...options, headers: { [TENANT_HEADER]: tenantId } };
}

/** Clients over the transport of each store; in one process all three share one. */
export function clientsOf(transports: {
  readonly session: Transport;
  readonly stats: Transport;
  readonly state: Transport;
}): Stores {
  return {
    session: createClient(SessionStoreService, traceTransport(transports.session)),
    stats: createClient(StatisticsStoreService, traceTransport(transports.stats)),
    state: createClient(StateStoreService, traceTransport(transports.state)),
  };
}
