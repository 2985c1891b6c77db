import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const appendEvents =
  (store: SessionStore): Handler<typeof SessionStoreService.method.appendEvents> =>
  async (request, { identity }) => ({ status: await store.appendEvents(identity.tenantId, request) });
