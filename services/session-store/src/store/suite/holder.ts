/** An engine as the tests of the port play it: it begins turns, takes them over and writes them. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampNow } from '@bufbuild/protobuf/wkt';
import { expect } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema, ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import {
  AcquireLeaseRequestSchema,
  AppendEventsRequestSchema,
  BeginTurnRequestSchema,
  CommitStepRequestSchema,
  EndTurnRequestSchema,
  RenewLeaseRequestSchema,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { BeginTurnRequest } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { EventBatchSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { EventBatch, Lease, LeaseRef } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { SessionStore } from '../store.ts';

import type { Init } from './harness.ts';

/** Long enough that no test sees it expire. */
export const LONG_TTL_MS = 60_000;

export function beginRequest(
  agentId: string,
  over: Init<typeof BeginTurnRequestSchema> = {},
): BeginTurnRequest {
  return create(BeginTurnRequestSchema, {
    agentId,
    requestId: randomUUID(),
    requestHash: new Uint8Array(32).fill(1),
    message: { content: [{ part: { case: 'text', value: { text: 'hello' } } }] },
    config: { model: 'some-model' },
    engineId: 'engine-1',
    acquisitionId: randomUUID(),
    leaseTtl: durationFromMs(LONG_TTL_MS),
    ...over,
  });
}

/** Begins a turn that is free to begin, and holds its lease. */
export async function begin(
  store: SessionStore,
  tenantId: string,
  agentId: string,
  over: Init<typeof BeginTurnRequestSchema> = {},
): Promise<Holder> {
  const { outcome } = await store.beginTurn(tenantId, beginRequest(agentId, over));
  if (outcome.case !== 'begun' || outcome.value.lease === undefined)
    throw new Error(`the turn did not begin: ${outcome.case}`);
  return createHolder(store, tenantId, outcome.value.lease, over.engineId ?? 'engine-1');
}

export const acquireRequest = (
  lease: Pick<LeaseRef, 'agentId' | 'turnId'>,
  over: Init<typeof AcquireLeaseRequestSchema> = {},
) =>
  create(AcquireLeaseRequestSchema, {
    agentId: lease.agentId,
    turnId: lease.turnId,
    engineId: 'engine-2',
    acquisitionId: randomUUID(),
    leaseTtl: durationFromMs(LONG_TTL_MS),
    ...over,
  });

/** Takes a turn over that is free to be taken. */
export async function takeOver(
  store: SessionStore,
  tenantId: string,
  ref: LeaseRef,
  over: Init<typeof AcquireLeaseRequestSchema> = {},
): Promise<Holder> {
  const { lease } = await store.acquireLease(tenantId, acquireRequest(ref, over));
  if (lease === undefined) throw new Error('the answer holds no lease');
  return createHolder(store, tenantId, lease, over.engineId ?? 'engine-2');
}

/** A write of a turn that can be sent again as it was; answers whether it had been applied before. */
export interface Write {
  readonly name: string;
  send(): Promise<boolean>;
}

/** An engine's side of a turn: numbers events and messages, and makes the writes. */
export interface Holder {
  readonly tenantId: string;
  readonly ref: LeaseRef;
  /** Number of the last event that a write was made for. */
  seq: bigint;
  position: number;
  append(count?: number, text?: string, endsTurn?: boolean): Write;
  startAttempt(step?: number, attempt?: number): Write;
  failAttempt(step?: number, attempt?: number): Write;
  answer(toolCallIds?: readonly string[], step?: number, attempt?: number): Write;
  startTool(toolCallId: string, run?: number): Write;
  finishTool(toolCallId: string, over?: { run?: number; resultOf?: string; agentId?: string }): Write;
  end(over?: { answerStep?: number; results?: readonly string[] }): Write;
  renew(): Promise<unknown>;
  release(): Promise<boolean>;
}

type StepFact = NonNullable<MessageInitShape<typeof CommitStepRequestSchema>['step']>;

export function createHolder(
  store: Pick<SessionStore, 'appendEvents' | 'commitStep' | 'renewLease' | 'releaseLease' | 'endTurn'>,
  tenantId: string,
  lease: Lease,
  engineId = 'engine-1',
): Holder {
  if (lease.ref === undefined) throw new Error('the lease has no reference');
  const { ref } = lease;
  const { agentId, turnId } = ref;
  const leaseTtl = durationFromMs(LONG_TTL_MS);

  const batchOf = (count: number, text: string, endsTurn = false): EventBatch => {
    const firstSeq = holder.seq + 1n;
    holder.seq += BigInt(count);
    return create(EventBatchSchema, {
      firstSeq,
      lastSeq: holder.seq,
      engineId,
      endsTurn,
      events: toBinary(
        AgentEventBatchSchema,
        create(AgentEventBatchSchema, {
          events: Array.from({ length: count }, () => ({
            payload: { case: 'textDelta' as const, value: { text } },
          })),
        }),
      ),
    });
  };
  const message = (body: NonNullable<MessageInitShape<typeof MessageSchema>['body']>): Message =>
    create(MessageSchema, {
      messageId: randomUUID(),
      agentId,
      turnId,
      position: holder.position++,
      createTime: timestampNow(),
      body,
    });
  const answerOf = (toolCallIds: readonly string[], step: number, attempt: number) => ({
    step,
    attempt,
    costMicroUsd: 7n,
    message: message({
      case: 'assistant',
      value: {
        content: [
          { part: { case: 'text', value: { text: 'an answer' } } },
          ...toolCallIds.map((toolCallId) => ({
            part: { case: 'toolUse' as const, value: { toolCallId, name: 'bash', inputJson: '{}' } },
          })),
        ],
        usage: { inputTokens: 3n, outputTokens: 4n },
      },
    }),
  });
  const resultOf = (toolCallId: string) =>
    message({
      case: 'toolResult',
      value: { toolCallId, name: 'bash', content: 'done', outcome: ToolOutcome.OK },
    });
  const commit = (step: StepFact): Write => {
    const request = create(CommitStepRequestSchema, {
      lease: ref,
      leaseTtl,
      batch: batchOf(1, `${step.case} ${randomUUID()}`),
      step,
    });
    return {
      name: step.case ?? '',
      send: async () => (await store.commitStep(tenantId, request)).alreadyApplied,
    };
  };

  const holder: Holder = {
    tenantId,
    ref,
    seq: lease.lastSeq,
    position: lease.nextPosition,
    append: (count = 1, text = 'some text', endsTurn = false) => {
      const request = create(AppendEventsRequestSchema, {
        lease: ref,
        leaseTtl,
        batch: batchOf(count, text, endsTurn),
      });
      return {
        name: 'append',
        send: async () => (await store.appendEvents(tenantId, request)).alreadyApplied,
      };
    },
    startAttempt: (step = 1, attempt = 1) =>
      commit({
        case: 'modelAttemptStarted',
        value: { step, attempt, model: 'some-model', reservedMicroUsd: 9n },
      }),
    failAttempt: (step = 1, attempt = 1) =>
      commit({ case: 'modelAttemptFailed', value: { step, attempt, reason: 'MODEL_OVERLOADED' } }),
    answer: (toolCallIds = [], step = 1, attempt = 1) =>
      commit({ case: 'assistantCommitted', value: answerOf(toolCallIds, step, attempt) }),
    startTool: (toolCallId, run = 1) => commit({ case: 'toolStarted', value: { toolCallId, run } }),
    finishTool: (toolCallId, over = {}) => {
      const result = resultOf(over.resultOf ?? toolCallId);
      if (over.agentId !== undefined) result.agentId = over.agentId;
      return commit({
        case: 'toolFinished',
        value: { toolCallId, run: over.run ?? 1, message: result, workingDirectory: 'src' },
      });
    },
    end: ({ answerStep, results = [] } = {}) => {
      const finalAnswer = answerStep === undefined ? undefined : answerOf([], answerStep, 1);
      const request = create(EndTurnRequestSchema, {
        lease: ref,
        batch: batchOf(1, `the end ${randomUUID()}`, true),
        ...(finalAnswer && { finalAnswer }),
        messages: results.map(resultOf),
        stopReason: StopReason.END_TURN,
        stats: {
          turnId,
          agentId,
          usage: {},
          stopReason: StopReason.END_TURN,
          endTime: timestampNow(),
          toolCalls: 2,
        },
        state: { agentId, turnId, status: AgentStatus.IDLE, epoch: ref.epoch, seq: holder.seq },
      });
      return { name: 'endTurn', send: async () => (await store.endTurn(tenantId, request)).alreadyApplied };
    },
    renew: () => store.renewLease(tenantId, create(RenewLeaseRequestSchema, { lease: ref, leaseTtl })),
    release: () => store.releaseLease(tenantId, ref),
  };
  return holder;
}

export async function send(...writes: readonly Write[]): Promise<void> {
  for (const write of writes) expect({ [write.name]: await write.send() }).toEqual({ [write.name]: false });
}
