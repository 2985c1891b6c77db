import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const getTurn =
  (store: SessionStore): Handler<typeof SessionStoreService.method.getTurn> =>
  async ({ agentId, turnId }, { identity }) => ({
    turn: await store.getTurn(identity.tenantId, agentId, turnId),
  });
