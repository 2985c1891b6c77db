import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { ErrorMessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { AttemptStatus, ToolRunStatus, TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { EndTurnResponseSchema } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { EndTurnRequest, EndTurnResponse } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { OutboxEntrySchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { EventBatch, LeaseRef, OutboxEntry } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { Transaction } from '@agentx/service-kit';
import { commitAnswer, finishToolRun } from './commit-step.ts';
import type { FactContext } from './commit-step.ts';
import * as errors from './errors.ts';
import { epochOf } from './fence.ts';
import { passFence } from './lease.ts';
import { insertMessages } from './messages.ts';
import { bytesOrNull } from './rows.ts';
import { insertRow, ofAgent } from './statements.ts';

/** Commit point C6. */
export async function endTurn(
  tx: Transaction,
  tenantId: string,
  request: EndTurnRequest,
  lease: LeaseRef,
  batch: EventBatch,
): Promise<EndTurnResponse> {
  const messages = request.messages.length + (request.finalAnswer ? 1 : 0);
  const fenced = await passFence(tx, tenantId, lease, batch, { messages, ttlMs: undefined, progress: true });
  // The entry's id is the turn's, so that a repeated call names the same one, delivered or not.
  const outbox = create(OutboxEntrySchema, {
    outboxId: lease.turnId,
    tenantId,
    ...(request.stats && { stats: request.stats }),
    ...(request.state && { state: request.state }),
  });
  if (fenced === undefined) return create(EndTurnResponseSchema, { outbox, alreadyApplied: true });

  const context = { tx, tenantId, lease, engineId: batch.engineId, fenced };
  await writeLastMessages(context, request);
  await closeOpenWork(context);
  await tx.rows(
    sql`update ${tx.table('turn')}
        set status = ${TurnStatus.ENDED}, stop_reason = ${request.stopReason}, end_time_ms = ${fenced.nowMs},
          error = ${bytesOrNull(ErrorMessageSchema, request.error)}, engine_id = ${batch.engineId},
          end_epoch = ${epochOf(lease)}, end_seq = ${Number(batch.lastSeq)},
          stats = ${bytesOrNull(TurnStatsSchema, request.stats)}
        where ${ofAgent(tenantId, lease.agentId)} and turn_id = ${lease.turnId}`,
  );
  await insertRow(tx, 'outbox', {
    tenant_id: tenantId,
    outbox_id: outbox.outboxId,
    agent_id: lease.agentId,
    create_time_ms: fenced.nowMs,
    entry: toBinary(OutboxEntrySchema, outbox),
  });
  return create(EndTurnResponseSchema, { outbox });
}

async function writeLastMessages(context: FactContext, request: EndTurnRequest): Promise<void> {
  let { position } = context.fenced;
  if (request.finalAnswer) await commitAnswer(context, request.finalAnswer, position++);
  for (const message of request.messages) {
    if (message.body.case === 'toolResult') await finishToolRun(context, message, position++);
    else await insertMessages(context.tx, context.tenantId, context.lease, [message], position++);
  }
}

/** No model call of an ended turn runs on, and no tool call of it lacks its result. */
async function closeOpenWork({ tx, tenantId, lease, fenced }: FactContext): Promise<void> {
  const ofTurn = sql`${ofAgent(tenantId, lease.agentId)} and turn_id = ${lease.turnId}`;
  const [open] = await tx.rows(
    sql<{ tool_call_id: string }>`select tool_call_id from ${tx.table('tool_run')}
        where ${ofTurn} and status <> ${ToolRunStatus.FINISHED} limit 1`,
  );
  if (open !== undefined) throw errors.toolResultMissing(lease.turnId, open.tool_call_id);
  await tx.rows(
    sql`update ${tx.table('model_attempt')} set status = ${AttemptStatus.ABANDONED}, end_time_ms = ${fenced.nowMs}
        where ${ofTurn} and status = ${AttemptStatus.STARTED}`,
  );
}

export interface WaitingEntry {
  readonly entry: OutboxEntry;
  /** Since its turn ended. */
  readonly waitedMs: number;
}

/** Entries of all tenants, oldest first. */
export async function waitingOutbox(tx: Transaction, limit: number): Promise<WaitingEntry[]> {
  const rows = await tx.rows(
    sql<{ entry: Uint8Array; waited_ms: number }>`select entry, ${tx.nowMs} - create_time_ms as waited_ms
        from ${tx.table('outbox')} order by create_time_ms limit ${limit}`,
  );
  return rows.map((row) => ({
    entry: fromBinary(OutboxEntrySchema, row.entry),
    waitedMs: row.waited_ms,
  }));
}

export async function ackOutbox(
  tx: Transaction,
  tenantId: string,
  outboxIds: readonly string[],
): Promise<number> {
  if (outboxIds.length === 0) return 0;
  const removed = await tx.rows(
    sql`delete from ${tx.table('outbox')} where tenant_id = ${tenantId} and outbox_id in (${sql.join(outboxIds)})
        returning outbox_id`,
  );
  return removed.length;
}
