import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { StateStore } from '../store/store.ts';
import { required } from './required.ts';

export const createAgentRecord =
  (store: StateStore): Handler<typeof StateStoreService.method.createAgentRecord> =>
  async ({ record }, { identity }) => ({
    record: await store.createAgentRecord(identity.tenantId, required('record', record)),
  });
