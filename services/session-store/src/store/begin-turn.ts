import { create, toBinary } from '@bufbuild/protobuf';
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { AgentConfigSchema } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { BeginTurnResponseSchema, BusyPolicy } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type {
  BeginTurnRequest,
  BeginTurnResponse,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { LeaseRefSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { Transaction } from '@agentx/service-kit';
import * as errors from './errors.ts';
import { givenAgain, lockLease, toLease } from './lease.ts';
import { insertMessages } from './messages.ts';
import { timestamp, toEventBatch, toTurnRecord, ttlMs } from './rows.ts';
import type { EventBatchRow, LeaseRow, TurnRow } from './rows.ts';
import { insertRow, ofAgent } from './statements.ts';
import { selectTurn } from './turns.ts';

/** Commit point C0. */
export async function beginTurn(
  tx: Transaction,
  tenantId: string,
  request: BeginTurnRequest,
): Promise<BeginTurnResponse> {
  const { agentId, requestId } = request;
  const lease = await lockLease(tx, tenantId, agentId);
  const known = await selectTurn(tx, tenantId, agentId, sql`request_id = ${requestId}`);
  if (known !== undefined) return knownTurn(tx, tenantId, request, lease, known);
  if (lease.turn_id !== '') {
    if (request.onBusy === BusyPolicy.ENQUEUE || request.onBusy === BusyPolicy.INTERRUPT)
      throw errors.notBuilt(
        `${request.onBusy === BusyPolicy.INTERRUPT ? 'interrupting' : 'queueing behind'} turn ${lease.turn_id}, which the agent is busy with,`,
        'use ON_BUSY_REJECT and send the message again after the turn',
      );
    throw errors.turnInProgress(agentId, lease.turn_id);
  }
  return runTurn(tx, tenantId, request, lease);
}

/** The request came before: a second caller attaches, the same acquisition gets its lost answer again. */
async function knownTurn(
  tx: Transaction,
  tenantId: string,
  request: BeginTurnRequest,
  lease: LeaseRow,
  turn: TurnRow,
): Promise<BeginTurnResponse> {
  if (Buffer.compare(turn.request_hash, request.requestHash) !== 0)
    throw errors.requestIdReused(request.agentId, request.requestId);
  const record = toTurnRecord(tenantId, turn);
  const { agentId, acquisitionId, leaseTtl } = request;
  const acquisition = { agentId, turnId: turn.turn_id, acquisitionId, leaseTtl };
  if (!(await givenAgain(tx, tenantId, lease, acquisition)))
    return create(BeginTurnResponseSchema, { outcome: { case: 'exists', value: { turn: record } } });

  const [first] = await tx.rows(
    sql<EventBatchRow>`select * from ${tx.table('event_batch')}
        where ${ofAgent(tenantId, request.agentId)} and epoch = ${turn.start_epoch} and last_seq > ${turn.start_seq}
        order by last_seq limit 1`,
  );
  if (first === undefined) throw new Error(`turn ${turn.turn_id} has no first batch`);
  const ref = create(LeaseRefSchema, {
    agentId: request.agentId,
    turnId: turn.turn_id,
    epoch: BigInt(lease.epoch),
  });
  return create(BeginTurnResponseSchema, {
    outcome: {
      case: 'begun',
      value: {
        turn: record,
        lease: toLease(ref, lease, ttlMs(request.leaseTtl)),
        batch: toEventBatch(first),
      },
    },
  });
}

async function runTurn(
  tx: Transaction,
  tenantId: string,
  request: BeginTurnRequest,
  before: LeaseRow,
): Promise<BeginTurnResponse> {
  const { agentId } = request;
  const turnId = randomUUID();
  const now = before.now_ms;
  const epoch = before.epoch + 1;
  const config = request.config ?? create(AgentConfigSchema);
  const message = create(MessageSchema, {
    messageId: randomUUID(),
    agentId,
    turnId,
    position: before.next_position,
    createTime: timestamp(now),
    body: { case: 'user', value: request.message ?? {} },
  });
  const events = create(AgentEventBatchSchema, {
    events: [
      {
        time: timestamp(now),
        payload: { case: 'turnStarted', value: { model: config.model, requestId: request.requestId } },
      },
      { time: timestamp(now), payload: { case: 'message', value: message } },
    ],
  });
  const firstSeq = before.last_seq + 1;
  const batch: EventBatchRow = {
    epoch,
    first_seq: firstSeq,
    last_seq: firstSeq + events.events.length - 1,
    turn_id: turnId,
    engine_id: request.engineId,
    ends_turn: 0,
    events: toBinary(AgentEventBatchSchema, events),
  };
  const turn: TurnRow = {
    agent_id: agentId,
    turn_id: turnId,
    request_id: request.requestId,
    request_hash: request.requestHash,
    status: TurnStatus.RUNNING,
    stop_reason: 0,
    error: null,
    create_time_ms: now,
    start_time_ms: now,
    end_time_ms: null,
    engine_id: request.engineId,
    config: toBinary(AgentConfigSchema, config),
    max_output_tokens: request.maxOutputTokens,
    max_iterations: request.maxIterations,
    first_position: before.next_position,
    // A turn starts just before its first event: under the epoch of that event, so that "after" has one meaning.
    start_epoch: epoch,
    start_seq: before.last_seq,
    end_epoch: null,
    end_seq: null,
    working_directory: '',
    stats: null,
  };
  await insertRow(tx, 'turn', { tenant_id: tenantId, ...turn });
  await insertMessages(tx, tenantId, { agentId, turnId }, [message], before.next_position);
  await insertRow(tx, 'event_batch', { tenant_id: tenantId, agent_id: agentId, ...batch });
  await tx.rows(
    sql`update ${tx.table('lease')} set epoch = ${epoch}, acquisition_id = ${request.acquisitionId},
          engine_id = ${request.engineId}, turn_id = ${turnId},
          expires_at_ms = ${tx.nowMs} + ${ttlMs(request.leaseTtl)}, last_seq = ${batch.last_seq},
          next_position = ${before.next_position + 1}, interrupt_requested = 0, interrupt_reason = '', claims = 0
        where ${ofAgent(tenantId, agentId)}`,
  );
  const ref = create(LeaseRefSchema, { agentId, turnId, epoch: BigInt(epoch) });
  const after = {
    ...before,
    last_seq: batch.last_seq,
    next_position: before.next_position + 1,
    interrupt_requested: 0,
    interrupt_reason: '',
  };
  return create(BeginTurnResponseSchema, {
    outcome: {
      case: 'begun',
      value: {
        turn: toTurnRecord(tenantId, turn),
        lease: toLease(ref, after, ttlMs(request.leaseTtl)),
        batch: toEventBatch(batch),
      },
    },
  });
}
