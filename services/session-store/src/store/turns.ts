import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { Step, Turn } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import type { Transaction } from '@agentx/service-kit';
import * as errors from './errors.ts';
import { modelAttemptStep, toolRunStep, toTurn } from './rows.ts';
import type { ModelAttemptRow, ToolRunRow, TurnRow } from './rows.ts';
import { ofAgent } from './statements.ts';
import type { TurnPlace } from './store.ts';

/** The turn of an agent that meets a condition on its columns. */
export async function selectTurn(
  tx: Transaction,
  tenantId: string,
  agentId: string,
  condition: RawBuilder<unknown>,
): Promise<TurnRow | undefined> {
  const [row] = await tx.rows(
    sql<TurnRow>`select * from ${tx.table('turn')} where ${ofAgent(tenantId, agentId)} and ${condition}`,
  );
  return row;
}

/** @throws TURN_NOT_FOUND */
export async function requireTurn(
  tx: Transaction,
  tenantId: string,
  agentId: string,
  turnId: string,
): Promise<TurnRow> {
  const row = await selectTurn(tx, tenantId, agentId, sql`turn_id = ${turnId}`);
  if (row === undefined) throw errors.turnNotFound(agentId, turnId);
  return row;
}

export async function listTurns(
  tx: Transaction,
  tenantId: string,
  agentId: string,
  after: TurnPlace | undefined,
  limit: number,
): Promise<Turn[]> {
  const older = after ? sql`and (create_time_ms, turn_id) < (${after.createTimeMs}, ${after.turnId})` : sql``;
  const rows = await tx.rows(
    sql<TurnRow>`select * from ${tx.table('turn')} where ${ofAgent(tenantId, agentId)} ${older}
        order by create_time_ms desc, turn_id desc limit ${limit}`,
  );
  return rows.map((row) => toTurn(tenantId, row));
}

/** Model calls and tool runs of a turn, in the order in which they began; tools that never started stand after the call
 * that planned them. */
export async function listSteps(
  tx: Transaction,
  tenantId: string,
  agentId: string,
  turnId: string,
): Promise<Step[]> {
  await requireTurn(tx, tenantId, agentId, turnId);
  const ofTurn = sql`${ofAgent(tenantId, agentId)} and turn_id = ${turnId}`;
  const attempts = await tx.rows(
    sql<ModelAttemptRow>`select * from ${tx.table('model_attempt')} where ${ofTurn} order by step, attempt`,
  );
  const tools = await tx.rows(
    sql<ToolRunRow>`select * from ${tx.table('tool_run')} where ${ofTurn} order by step, ordinal, run`,
  );
  const byStep = Map.groupBy(tools, (tool) => tool.step);
  const lastOfStep = new Map(attempts.map((attempt) => [attempt.step, attempt]));
  return attempts.flatMap((attempt) => [
    modelAttemptStep(attempt),
    ...(lastOfStep.get(attempt.step) === attempt ? (byStep.get(attempt.step) ?? []).map(toolRunStep) : []),
  ]);
}
