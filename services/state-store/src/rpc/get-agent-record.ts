import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { StateStore } from '../store/store.ts';

export const getAgentRecord =
  (store: StateStore): Handler<typeof StateStoreService.method.getAgentRecord> =>
  async ({ agentId }, { identity }) => ({ record: await store.getAgentRecord(identity.tenantId, agentId) });
