import type { Database } from '@agentx/service-kit';
import {
  createAgentRecord,
  deleteAgentRecord,
  getAgentRecord,
  listAgentRecords,
  updateAgentRecord,
} from './records.ts';
import { getState, setState } from './states.ts';
import type { StateStore } from './store.ts';

/** StateStore on SQLite or PostgreSQL. */
export function createStateStore(database: Database): StateStore {
  return {
    getState: (tenantId, agentId) => database.read({ tenantId }, (tx) => getState(tx, tenantId, agentId)),
    setState: (tenantId, state) => setState(database, tenantId, state),

    createAgentRecord: (tenantId, record) => createAgentRecord(database, tenantId, record),
    getAgentRecord: (tenantId, agentId) =>
      database.read({ tenantId }, (tx) => getAgentRecord(tx, tenantId, agentId)),
    listAgentRecords: (tenantId, afterAgentId, limit) =>
      database.read({ tenantId }, (tx) => listAgentRecords(tx, tenantId, afterAgentId, limit)),
    updateAgentRecord: (tenantId, record, ifRevision) =>
      database.transaction({ tenantId }, (tx) => updateAgentRecord(tx, tenantId, record, ifRevision)),
    deleteAgentRecord: (tenantId, agentId, ifRevision) =>
      database.transaction({ tenantId }, (tx) => deleteAgentRecord(tx, tenantId, agentId, ifRevision)),
  };
}
