import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';
import { required } from './required.ts';

export const releaseLease =
  (store: SessionStore): Handler<typeof SessionStoreService.method.releaseLease> =>
  async ({ lease }, { identity }) => ({
    released: await store.releaseLease(identity.tenantId, required('lease', lease)),
  });
