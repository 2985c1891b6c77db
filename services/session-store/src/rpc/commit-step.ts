import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const commitStep =
  (store: SessionStore): Handler<typeof SessionStoreService.method.commitStep> =>
  async (request, { identity }) => ({ status: await store.commitStep(identity.tenantId, request) });
