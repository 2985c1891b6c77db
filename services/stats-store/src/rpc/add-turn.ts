import type { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { StatsStore } from '../store/store.ts';
import { required } from './required.ts';

export const addTurn =
  (store: StatsStore): Handler<typeof StatisticsStoreService.method.addTurn> =>
  async ({ stats }, { identity }) => ({
    added: await store.addTurn(identity.tenantId, required('stats', stats)),
  });
