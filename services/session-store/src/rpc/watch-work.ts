import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const watchWork = (store: SessionStore): Handler<typeof SessionStoreService.method.watchWork> =>
  async function* (_request, { signal }) {
    for await (const item of store.watchWork(signal)) yield { item };
  };
