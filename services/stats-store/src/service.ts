import { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { defineService } from '@agentx/service-kit';
import type { ServiceDefinition } from '@agentx/service-kit';
import { addTurn } from './rpc/add-turn.ts';
import { getTotalCost } from './rpc/get-total-cost.ts';
import { getTotalTokens } from './rpc/get-total-tokens.ts';
import { listTurnStats } from './rpc/list-turn-stats.ts';
import type { StatsStore } from './store/store.ts';

/** The service over any StatsStore. */
export function createStatsStoreService(store: StatsStore): ServiceDefinition<typeof StatisticsStoreService> {
  return defineService(StatisticsStoreService, {
    addTurn: addTurn(store),
    getTotalCost: getTotalCost(store),
    getTotalTokens: getTotalTokens(store),
    listTurnStats: listTurnStats(store),
  });
}
