import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import type { StateStore } from '../store/store.ts';
import { required } from './required.ts';

export const updateAgentRecord =
  (store: StateStore): Handler<typeof StateStoreService.method.updateAgentRecord> =>
  async ({ record, ifRevision }, { identity }) => ({
    record: await store.updateAgentRecord(identity.tenantId, required('record', record), ifRevision),
  });
