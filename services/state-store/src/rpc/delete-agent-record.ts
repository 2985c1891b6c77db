import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { StateStore } from '../store/store.ts';

export const deleteAgentRecord =
  (store: StateStore): Handler<typeof StateStoreService.method.deleteAgentRecord> =>
  async ({ agentId, ifRevision }, { identity }) => ({
    deleted: await store.deleteAgentRecord(identity.tenantId, agentId, ifRevision),
  });
