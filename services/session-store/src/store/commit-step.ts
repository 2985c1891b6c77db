import { sql } from 'kysely';
import { AttemptStatus, ToolRunStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type {
  AppendEventsRequest,
  CommitStepRequest,
  LeaseStatus,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type {
  AssistantCommitted,
  EventBatch,
  LeaseRef,
  ModelAttemptFailed,
  ModelAttemptStarted,
  ToolFinished,
  ToolStarted,
} from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { Transaction } from '@agentx/service-kit';
import * as errors from './errors.ts';
import { epochOf } from './fence.ts';
import { alreadyApplied, passFence } from './lease.ts';
import type { Fenced } from './lease.ts';
import { insertMessages } from './messages.ts';
import { bytesOrNull, ttlMs } from './rows.ts';
import { insertNewRow, ofAgent } from './statements.ts';

/** What the fact of one fenced write is written with. */
export interface FactContext {
  readonly tx: Transaction;
  readonly tenantId: string;
  readonly lease: LeaseRef;
  readonly engineId: string;
  readonly fenced: Fenced;
}

type StepFact = CommitStepRequest['step'];

/** Commit points C1, C3, C4 and C5. */
export async function commitStep(
  tx: Transaction,
  tenantId: string,
  request: CommitStepRequest,
  lease: LeaseRef,
  batch: EventBatch,
): Promise<LeaseStatus> {
  const { step } = request;
  const fenced = await passFence(tx, tenantId, lease, batch, {
    messages: messageOf(step) === undefined ? 0 : 1,
    ttlMs: ttlMs(request.leaseTtl),
    progress: messageOf(step) !== undefined,
  });
  if (fenced === undefined) return alreadyApplied();
  await writeFact({ tx, tenantId, lease, engineId: batch.engineId, fenced }, step);
  return fenced.status;
}

/** Commit point C2. */
export async function appendEvents(
  tx: Transaction,
  tenantId: string,
  request: AppendEventsRequest,
  lease: LeaseRef,
  batch: EventBatch,
): Promise<LeaseStatus> {
  const change = { messages: 0, ttlMs: ttlMs(request.leaseTtl), progress: false };
  const fenced = await passFence(tx, tenantId, lease, batch, change);
  return fenced?.status ?? alreadyApplied();
}

function messageOf(step: StepFact): Message | undefined {
  return step.case === 'assistantCommitted' || step.case === 'toolFinished' ? step.value.message : undefined;
}

async function writeFact(context: FactContext, step: StepFact): Promise<void> {
  switch (step.case) {
    case 'modelAttemptStarted':
      return startAttempt(context, step.value);
    case 'modelAttemptFailed':
      return failAttempt(context, step.value);
    case 'assistantCommitted':
      return commitAnswer(context, step.value, context.fenced.position);
    case 'toolStarted':
      return startTool(context, step.value);
    case 'toolFinished':
      return finishTool(context, step.value);
    case 'turnParked':
      throw errors.notBuilt('parking a turn', 'use the approval decisions ALLOW and DENY');
    case undefined:
      throw errors.invalid('step', 'is missing', 'set the fact that the write commits');
  }
}

const ofTurn = ({ tenantId, lease }: FactContext) =>
  sql`${ofAgent(tenantId, lease.agentId)} and turn_id = ${lease.turnId}`;

async function startAttempt(context: FactContext, attempt: ModelAttemptStarted): Promise<void> {
  const { tx, tenantId, lease, fenced } = context;
  const [open] = await tx.rows(
    sql<{ tool_call_id: string }>`select tool_call_id from ${tx.table('tool_run')}
        where ${ofTurn(context)} and status <> ${ToolRunStatus.FINISHED} limit 1`,
  );
  if (open !== undefined) throw errors.toolResultMissing(lease.turnId, open.tool_call_id);
  // Two calls at once could both be committed, one between the tool calls of the other and their results.
  const [running] = await tx.rows(
    sql<{ step: number; attempt: number }>`select step, attempt from ${tx.table('model_attempt')}
        where ${ofTurn(context)} and status = ${AttemptStatus.STARTED} limit 1`,
  );
  if (running !== undefined)
    throw errors.invalid(
      'attempt',
      `${running.step}/${running.attempt} still runs`,
      'commit its answer or its failure first',
    );
  const isNew = await insertNewRow(tx, 'model_attempt', {
    tenant_id: tenantId,
    agent_id: lease.agentId,
    turn_id: lease.turnId,
    step: attempt.step,
    attempt: attempt.attempt,
    model: attempt.model,
    status: AttemptStatus.STARTED,
    engine_id: context.engineId,
    epoch: epochOf(lease),
    start_time_ms: fenced.nowMs,
    end_time_ms: null,
    usage: null,
    cost_micro_usd: null,
    reserved_micro_usd: attempt.reservedMicroUsd ?? null,
    error_reason: '',
  });
  if (!isNew)
    throw errors.invalid(
      'attempt',
      `${attempt.step}/${attempt.attempt} was started before`,
      'number it anew',
    );
}

async function failAttempt(context: FactContext, failed: ModelAttemptFailed): Promise<void> {
  await settleAttempt(
    context,
    failed,
    AttemptStatus.FAILED,
    bytesOrNull(TokenUsageSchema, failed.usage),
    failed.reason,
  );
}

/** The answer, its tool calls as planned, and the settled attempt. */
export async function commitAnswer(
  context: FactContext,
  answer: AssistantCommitted,
  position: number,
): Promise<void> {
  const { tx, tenantId, lease } = context;
  const { message } = answer;
  if (message?.body.case !== 'assistant')
    throw errors.invalid('assistant_committed.message', 'is no answer', 'its body must be assistant');
  await insertMessages(tx, tenantId, lease, [message], position);
  const usage = bytesOrNull(TokenUsageSchema, message.body.value.usage);
  await settleAttempt(context, answer, AttemptStatus.COMMITTED, usage, '');
  const calls = message.body.value.content.flatMap(({ part }) =>
    part.case === 'toolUse' ? [part.value] : [],
  );
  for (const [ordinal, call] of calls.entries()) {
    const isNew = await insertNewRow(tx, 'tool_run', {
      tenant_id: tenantId,
      agent_id: lease.agentId,
      turn_id: lease.turnId,
      tool_call_id: call.toolCallId,
      run: 1,
      step: answer.step,
      ordinal,
      name: call.name,
      input_json: call.inputJson,
      status: ToolRunStatus.PLANNED,
      outcome: 0,
      engine_id: context.engineId,
      epoch: epochOf(lease),
      start_time_ms: null,
      end_time_ms: null,
    });
    if (!isNew)
      throw errors.invalid(
        'tool_call_id',
        `${call.toolCallId} was used before`,
        'the calls of a turn have different ids',
      );
  }
}

async function settleAttempt(
  context: FactContext,
  of: Pick<AssistantCommitted, 'step' | 'attempt' | 'costMicroUsd'>,
  status: AttemptStatus,
  usage: Uint8Array | null,
  reason: string,
): Promise<void> {
  const { tx, fenced } = context;
  const rows = await tx.rows(
    sql`update ${tx.table('model_attempt')}
        set status = ${status}, usage = ${usage}, cost_micro_usd = ${of.costMicroUsd ?? null},
          error_reason = ${reason}, end_time_ms = ${fenced.nowMs}
        where ${ofTurn(context)} and step = ${of.step} and attempt = ${of.attempt}
          and status = ${AttemptStatus.STARTED}
        returning step`,
  );
  if (rows.length === 0)
    throw errors.invalid('attempt', `${of.step}/${of.attempt} is not running`, 'commit its start first');
}

async function startTool(context: FactContext, tool: ToolStarted): Promise<void> {
  const { tx, lease, fenced } = context;
  const rows = await tx.rows(
    sql`update ${tx.table('tool_run')}
        set status = ${ToolRunStatus.STARTED}, start_time_ms = ${fenced.nowMs}, engine_id = ${context.engineId},
          epoch = ${epochOf(lease)}
        where ${ofTurn(context)} and tool_call_id = ${tool.toolCallId} and run = ${tool.run}
          and status = ${ToolRunStatus.PLANNED}
        returning run`,
  );
  if (rows.length === 0)
    throw errors.invalid(
      'tool_call_id',
      `${tool.toolCallId} is not planned`,
      'a tool starts once, after its answer',
    );
}

async function finishTool(context: FactContext, tool: ToolFinished): Promise<void> {
  const { message } = tool;
  if (message === undefined)
    throw errors.invalid('tool_finished.message', 'is missing', 'send the tool result');
  const { tx } = context;
  const expected = tool.run === 0 ? ToolRunStatus.PLANNED : ToolRunStatus.STARTED;
  const [run] = await tx.rows(
    sql<{ status: ToolRunStatus }>`select status from ${tx.table('tool_run')}
        where ${ofTurn(context)} and tool_call_id = ${tool.toolCallId} and run = ${Math.max(tool.run, 1)}`,
  );
  if (run?.status !== expected)
    throw errors.invalid(
      'run',
      `${tool.run} of ${tool.toolCallId} ${tool.run === 0 ? 'waits for no result' : 'is not running'}`,
      'name the run that was started, or 0 for a call that never ran',
    );
  if (message.body.case === 'toolResult' && message.body.value.toolCallId !== tool.toolCallId)
    throw errors.invalid(
      'message.tool_result.tool_call_id',
      `is "${message.body.value.toolCallId}"`,
      `the call is ${tool.toolCallId}`,
    );
  await finishToolRun(context, message, context.fenced.position);
  await tx.rows(
    sql`update ${tx.table('turn')} set working_directory = ${tool.workingDirectory} where ${ofTurn(context)}`,
  );
}

/** A tool's result and the end of its run; every call gets exactly one, whether it ran or not. */
export async function finishToolRun(context: FactContext, message: Message, position: number): Promise<void> {
  const { tx, tenantId, lease, fenced } = context;
  if (message.body.case !== 'toolResult')
    throw errors.invalid('message', 'is no tool result', 'its body must be tool_result');
  const result = message.body.value;
  const rows = await tx.rows(
    sql`update ${tx.table('tool_run')}
        set status = ${ToolRunStatus.FINISHED}, outcome = ${result.outcome}, end_time_ms = ${fenced.nowMs}
        where ${ofTurn(context)} and tool_call_id = ${result.toolCallId} and status <> ${ToolRunStatus.FINISHED}
        returning run`,
  );
  if (rows.length === 0)
    throw errors.invalid(
      'tool_call_id',
      `${result.toolCallId} waits for no result`,
      'a call has exactly one result',
    );
  await insertMessages(tx, tenantId, lease, [message], position);
}
