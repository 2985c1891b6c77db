import { createGrpcTransport } from '@agentx/client';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { DependencyOutcome, StoresChoice } from '@agentx/service-kit';
import { clientsOf } from './stores.ts';
import type { Stores } from './stores.ts';

export interface ConnectedStores extends Stores {
  /** By name: how the last call went. */
  readonly dependencies: Readonly<Record<string, () => DependencyOutcome | undefined>>;
  close(): void;
}

/** Clients of stores in other processes. */
export function connectStores(targets: Extract<StoresChoice, { kind: 'grpc' }>): ConnectedStores {
  const transports = {
    session: createGrpcTransport({ target: targets.session, services: [SessionStoreService] }),
    stats: createGrpcTransport({ target: targets.stats, services: [StatisticsStoreService] }),
    state: createGrpcTransport({ target: targets.state, services: [StateStoreService] }),
  };
  return {
    ...clientsOf(transports),
    dependencies: {
      'session-store': () => transports.session.lastOutcome,
      'stats-store': () => transports.stats.lastOutcome,
      'state-store': () => transports.state.lastOutcome,
    },
    close: () => {
      for (const transport of Object.values(transports)) transport.close();
    },
  };
}
