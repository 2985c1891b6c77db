import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { defineService } from '@agentx/service-kit';
import type { ServiceDefinition } from '@agentx/service-kit';
import { createAgentRecord } from './rpc/create-agent-record.ts';
import { deleteAgentRecord } from './rpc/delete-agent-record.ts';
import { getAgentRecord } from './rpc/get-agent-record.ts';
import { getState } from './rpc/get-state.ts';
import { listAgentRecords } from './rpc/list-agent-records.ts';
import { setState } from './rpc/set-state.ts';
import { updateAgentRecord } from './rpc/update-agent-record.ts';
import type { StateStore } from './store/store.ts';

/** The service over any StateStore. */
export function createStateStoreService(store: StateStore): ServiceDefinition<typeof StateStoreService> {
  return defineService(StateStoreService, {
    getState: getState(store),
    setState: setState(store),
    createAgentRecord: createAgentRecord(store),
    getAgentRecord: getAgentRecord(store),
    listAgentRecords: listAgentRecords(store),
    updateAgentRecord: updateAgentRecord(store),
    deleteAgentRecord: deleteAgentRecord(store),
  });
}
