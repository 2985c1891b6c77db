import type { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import { toSelection } from './selection.ts';
import type { StatsStore } from '../store/store.ts';

export const getTotalTokens =
  (store: StatsStore): Handler<typeof StatisticsStoreService.method.getTotalTokens> =>
  ({ filter, groupBy }, { identity }) =>
    store.getTotalTokens(identity.tenantId, toSelection(filter), groupBy);
