import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const ackOutbox =
  (store: SessionStore): Handler<typeof SessionStoreService.method.ackOutbox> =>
  async ({ outboxIds }, { identity }) => ({
    removed: await store.ackOutbox(identity.tenantId, outboxIds),
  });
