import { createGrpcTransport } from '@agentx/client';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { callerCredentials, superviseTransport } from '@agentx/service-kit';
import type { Dependencies, StoresChoice, TlsConfig } from '@agentx/service-kit';
import { clientsOf } from './stores.ts';
import type { Stores } from './stores.ts';

export interface ConnectedStores extends Stores {
  readonly dependencies: Dependencies;
  close(): void;
}

/** Clients of stores in other processes. Throws `StartError` when the files of TLS cannot be used. */
export async function connectStores(
  targets: Extract<StoresChoice, { kind: 'grpc' }>,
  tls: TlsConfig | undefined,
): Promise<ConnectedStores> {
  const secure = tls && { credentials: await callerCredentials(tls) };
  const transports = {
    session: createGrpcTransport({ target: targets.session, services: [SessionStoreService], ...secure }),
    stats: createGrpcTransport({ target: targets.stats, services: [StatisticsStoreService], ...secure }),
    state: createGrpcTransport({ target: targets.state, services: [StateStoreService], ...secure }),
  };
  const session = superviseTransport(transports.session, SessionStoreService);
  const stats = superviseTransport(transports.stats, StatisticsStoreService);
  const state = superviseTransport(transports.state, StateStoreService);
  return {
    ...clientsOf({ session: session.transport, stats: stats.transport, state: state.transport }),
    dependencies: storeDependencies({ session, stats, state }),
    close: () => {
      for (const supervised of [session, stats, state]) supervised.close();
      for (const transport of Object.values(transports)) transport.close();
    },
  };
}

/** The stores as an engine depends on them. Turns go on without statistics: those are told later, from the outbox. */
export function storeDependencies(stores: {
  readonly session: Dependencies[string];
  readonly stats: Dependencies[string];
  readonly state: Dependencies[string];
}): Dependencies {
  return {
    'session-store': stores.session,
    'stats-store': { ...stores.stats, required: false },
    'state-store': stores.state,
  };
}
