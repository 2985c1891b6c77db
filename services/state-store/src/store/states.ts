import { sql } from 'kysely';
import type { AgentState } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import type { Database, Transaction } from '@agentx/service-kit';
import { AgentStateEntity } from './entities.ts';
import * as errors from './errors.ts';
import { toState } from './rows.ts';

export async function getState(tx: Transaction, tenantId: string, agentId: string): Promise<AgentState> {
  const row = await tx.em.findOne(AgentStateEntity, { tenantId, agentId });
  if (row === null) throw errors.stateNotFound(agentId);
  return toState(row);
}

/** One statement decides and writes, so that no later state slips in between. */
export async function setState(database: Database, tenantId: string, state: AgentState): Promise<boolean> {
  const { agentId, status, turnId } = state;
  const epoch = checked('state.epoch', state.epoch);
  const seq = checked('state.seq', state.seq);
  const applied = await database.statement(
    { tenantId },
    (tx) => sql`
      insert into ${tx.table('agent_state')} as stored
        (tenant_id, agent_id, epoch, seq, status, turn_id, update_time_ms)
      values (${tenantId}, ${agentId}, ${epoch}, ${seq}, ${status}, ${turnId}, ${tx.nowMs})
      on conflict (tenant_id, agent_id) do update
        set epoch = excluded.epoch, seq = excluded.seq, status = excluded.status, turn_id = excluded.turn_id,
          update_time_ms = excluded.update_time_ms
        where (excluded.epoch, excluded.seq) > (stored.epoch, stored.seq)
      returning epoch`,
  );
  return applied.length > 0;
}

function checked(field: string, count: bigint): bigint {
  if (count > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw errors.invalid(field, `is ${count}, beyond 2^53 - 1`, 'no agent counts so far');
  }
  return count;
}
