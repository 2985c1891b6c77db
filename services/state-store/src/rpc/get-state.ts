import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { StateStore } from '../store/store.ts';

export const getState =
  (store: StateStore): Handler<typeof StateStoreService.method.getState> =>
  async ({ agentId }, { identity }) => ({ state: await store.getState(identity.tenantId, agentId) });
