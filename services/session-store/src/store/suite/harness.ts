/** What the tests of the port share: a database under test, and an engine that writes turns. */
import { create, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { durationFromMs, timestampNow } from '@bufbuild/protobuf/wkt';
import { expect } from '@jest/globals';
import { Code } from '@connectrpc/connect';
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema, ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import {
  AcquireLeaseRequestSchema,
  AddMessageRequestSchema,
  AppendEventsRequestSchema,
  BeginTurnRequestSchema,
  CommitStepRequestSchema,
  EndTurnRequestSchema,
  RenewLeaseRequestSchema,
  TailEventsRequestSchema,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { BeginTurnRequest } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { EventBatchSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { EventBatch, Lease, LeaseRef } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createLogger, DomainError, openDatabase, reasonOf } from '@agentx/service-kit';
import type { Database } from '@agentx/service-kit';
import { entities } from '../entities.ts';
import { migrations } from '../migrations/index.ts';
import { createSessionStore } from '../sql-store.ts';
import type { SqlSessionStore } from '../sql-store.ts';
import type { SessionStore } from '../store.ts';

export const log = createLogger({ name: 'session-store', level: 'silent' });

/** Fields of a message as they are written down. */
export type Init<D extends DescMessage> = Exclude<MessageInitShape<D>, MessageShape<D>>;

/** Where a suite gets its databases from. */
export interface TestDatabases {
  /** The URL of a new, empty database. */
  createUrl(): Promise<string>;
  /** How many rounds a race has. */
  readonly raceRounds: number;
  /** How many courses of events are compared with the model. */
  readonly modelRuns: number;
  /** Whether several processes may use one database at once. */
  readonly severalProcesses: boolean;
}

export const openTestDatabase = (url: string): Promise<Database> =>
  openDatabase({ url, name: 'session', entities, migrations, log });

/** A store on a database of its own. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly database: Database;
  readonly store: SqlSessionStore;
}

export async function openStore(databases: TestDatabases): Promise<StoreUnderTest> {
  const database = await openTestDatabase(await databases.createUrl());
  const store = createSessionStore(database, { log });
  return {
    database,
    store,
    [Symbol.asyncDispose]: async () => {
      store.close();
      await database.close();
    },
  };
}

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
  append(count?: number, text?: string): Write;
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
  store: SessionStore,
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
      batch: batchOf(1, step.case ?? ''),
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
    append: (count = 1, text = 'some text') => {
      const request = create(AppendEventsRequestSchema, { lease: ref, leaseTtl, batch: batchOf(count, text) });
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
        batch: batchOf(1, 'the end', true),
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

export const userMessage = (agentId: string, text: string, requestId = '') =>
  create(AddMessageRequestSchema, {
    agentId,
    requestId,
    message: {
      body: { case: 'user', value: { content: [{ part: { case: 'text', value: { text } } }] } },
    },
  });

export const tailRequest = (over: Init<typeof TailEventsRequestSchema>) =>
  create(TailEventsRequestSchema, over);

/** Lets every lease of a tenant expire, without waiting. */
export const expireLeases = (database: Database, tenantId: string): Promise<void> =>
  database.transaction(async (tx) => {
    await tx.rows(
      sql`update ${tx.table('lease')} set expires_at_ms = 1 where tenant_id = ${tenantId} and turn_id <> ''`,
    );
  });

const TABLES = ['lease', 'turn', 'message', 'event_batch', 'model_attempt', 'tool_run', 'outbox'] as const;

/** Every row of a tenant, read past the store. */
export async function rowsOf(
  database: Database,
  tenantId: string,
): Promise<Record<(typeof TABLES)[number], Record<string, unknown>[]>> {
  const tables = await database.read(async (tx) => {
    const found: [string, Record<string, unknown>[]][] = [];
    for (const table of TABLES)
      found.push([
        table,
        await tx.rows(
          sql<Record<string, unknown>>`select * from ${tx.table(table)} where tenant_id = ${tenantId}`,
        ),
      ]);
    return found;
  });
  const inOrder = (rows: Record<string, unknown>[]) =>
    rows.map((row) => ({ row, key: JSON.stringify(row) })).sort((a, b) => (a.key < b.key ? -1 : 1));
  return Object.fromEntries(
    tables.map(([table, rows]) => [table, inOrder(rows).map(({ row }) => row)]),
  ) as Record<(typeof TABLES)[number], Record<string, unknown>[]>;
}

/** The reason that a promise fails with. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return reasonOf(error) ?? String(error);
  }
  return 'not refused';
}

/** A database whose writes are committed and whose answers are lost. */
export function losingAnswers(database: Database): Database {
  const lost = () =>
    new DomainError(Code.Unavailable, 'DATABASE_UNAVAILABLE', 'the database cannot be reached; try again');
  return {
    ...database,
    get lastOutcome() {
      return database.lastOutcome;
    },
    transaction: async (work) => {
      await database.transaction(work);
      throw lost();
    },
    statement: async (build) => {
      await database.statement(build);
      throw lost();
    },
  };
}
