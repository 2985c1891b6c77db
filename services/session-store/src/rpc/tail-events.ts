import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const tailEvents = (store: SessionStore): Handler<typeof SessionStoreService.method.tailEvents> =>
  async function* (request, { identity, signal }) {
    for await (const batch of store.tailEvents(identity.tenantId, request, signal)) yield { batch };
  };
