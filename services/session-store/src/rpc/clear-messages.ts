import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const clearMessages =
  (store: SessionStore): Handler<typeof SessionStoreService.method.clearMessages> =>
  async ({ agentId }, { identity }) => ({
    cleared: await store.clearMessages(identity.tenantId, agentId),
  });
