import type { AgentState } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import type { AgentRecord } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';

/**
 * Agents' records and their last known state.
 *
 * The contract, for every adapter:
 * - A tenant sees and changes its own rows only; another tenant's agent is as one that never was.
 * - A promise of a write that fulfils means committed and durable, one that rejects that nothing was written, except
 *   `DATABASE_UNAVAILABLE`, after which it is not known.
 * - A state needs no record and a record no state.
 */
export interface StateStore {
  /** Fails with NOT_FOUND `STATE_NOT_FOUND` when none was ever set. */
  getState(tenantId: string, agentId: string): Promise<AgentState>;
  /**
   * Applies the state if its (epoch, seq) is greater than the stored one's; false when it is not. Of several calls at
   * once the greatest wins. Fails with INVALID_ARGUMENT `INVALID_REQUEST` for an epoch or seq beyond 2^53 - 1.
   */
  setState(tenantId: string, state: AgentState): Promise<boolean>;

  /** The record as stored, with revision 1. Fails with ALREADY_EXISTS `AGENT_EXISTS`. */
  createAgentRecord(tenantId: string, record: AgentRecord): Promise<AgentRecord>;
  /** Fails with NOT_FOUND `AGENT_NOT_FOUND`. */
  getAgentRecord(tenantId: string, agentId: string): Promise<AgentRecord>;
  /** Ordered by agent_id, byte by byte, after an id. */
  listAgentRecords(tenantId: string, afterAgentId: string | undefined, limit: number): Promise<AgentRecord[]>;
  /**
   * Replaces the whole record and counts its revision up. Fails with NOT_FOUND `AGENT_NOT_FOUND`, and with ABORTED
   * `REVISION_CONFLICT` when `ifRevision` is neither 0 nor the stored revision: of several calls at once that name the
   * same revision, one is applied.
   */
  updateAgentRecord(tenantId: string, record: AgentRecord, ifRevision: bigint): Promise<AgentRecord>;
  /**
   * Deletes record and state; false when there was no record. Fails with ABORTED `REVISION_CONFLICT` when `ifRevision`
   * is neither 0 nor the stored revision.
   */
  deleteAgentRecord(tenantId: string, agentId: string, ifRevision: bigint): Promise<boolean>;
}
