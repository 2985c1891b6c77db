import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { StateStore } from '../store/store.ts';
import { required } from './required.ts';

export const setState =
  (store: StateStore): Handler<typeof StateStoreService.method.setState> =>
  async ({ state }, { identity }) => ({
    applied: await store.setState(identity.tenantId, required('state', state)),
  });
