import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const listSteps =
  (store: SessionStore): Handler<typeof SessionStoreService.method.listSteps> =>
  async ({ agentId, turnId }, { identity }) => ({
    steps: await store.listSteps(identity.tenantId, agentId, turnId),
  });
