/** Rows as raw SQL returns them on both dialects, and their translation to and from the contract's messages. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { durationMs as durationToMs, timestampDate, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt';
import { AgentConfigSchema } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { ErrorMessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StepSchema, TurnSchema } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import type {
  AttemptStatus,
  Step,
  ToolRunStatus,
  Turn,
  TurnStatus,
} from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { TokenUsageSchema, TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { EventBatchSchema, TurnRecordSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { EventBatch, TurnRecord } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createCursorCodec } from '@agentx/service-kit';
import { invalid } from './errors.ts';

export interface LeaseRow {
  readonly epoch: number;
  readonly acquisition_id: string;
  readonly engine_id: string;
  readonly turn_id: string;
  readonly expires_at_ms: number;
  readonly last_seq: number;
  readonly next_position: number;
  readonly floor_position: number;
  readonly interrupt_requested: number;
  readonly interrupt_reason: string;
  readonly claims: number;
  /** The database's clock when the row was read. */
  readonly now_ms: number;
}

export interface TurnRow {
  readonly agent_id: string;
  readonly turn_id: string;
  readonly request_id: string;
  readonly request_hash: Uint8Array;
  readonly status: TurnStatus;
  readonly stop_reason: StopReason;
  readonly error: Uint8Array | null;
  readonly create_time_ms: number;
  readonly start_time_ms: number | null;
  readonly end_time_ms: number | null;
  readonly engine_id: string;
  readonly config: Uint8Array;
  readonly max_output_tokens: number;
  readonly max_iterations: number;
  readonly first_position: number;
  readonly start_epoch: number;
  readonly start_seq: number;
  readonly end_epoch: number | null;
  readonly end_seq: number | null;
  readonly working_directory: string;
  readonly stats: Uint8Array | null;
}

export interface EventBatchRow {
  readonly epoch: number;
  readonly last_seq: number;
  readonly first_seq: number;
  readonly turn_id: string;
  readonly engine_id: string;
  readonly ends_turn: number;
  readonly events: Uint8Array;
}

export interface ModelAttemptRow {
  readonly turn_id: string;
  readonly step: number;
  readonly attempt: number;
  readonly model: string;
  readonly status: AttemptStatus;
  readonly engine_id: string;
  readonly epoch: number;
  readonly start_time_ms: number;
  readonly end_time_ms: number | null;
  readonly usage: Uint8Array | null;
  readonly cost_micro_usd: number | null;
  readonly error_reason: string;
}

export interface ToolRunRow {
  readonly turn_id: string;
  readonly tool_call_id: string;
  readonly run: number;
  readonly step: number;
  readonly ordinal: number;
  readonly name: string;
  readonly input_json: string;
  readonly status: ToolRunStatus;
  readonly outcome: ToolOutcome;
  readonly engine_id: string;
  readonly epoch: number;
  readonly start_time_ms: number | null;
  readonly end_time_ms: number | null;
}

const MIN_TTL_MS = 100;
const MAX_TTL_MS = 600_000;

/** Milliseconds that a lease is to last. */
export function ttlMs(duration: Duration | undefined): number {
  const ms = duration === undefined ? 0 : durationToMs(duration);
  if (ms < MIN_TTL_MS || ms > MAX_TTL_MS)
    throw invalid('lease_ttl', 'is out of range', 'send 100 ms to 10 minutes');
  return ms;
}

export const timestamp = (ms: number): Timestamp => timestampFromMs(ms);

/** Absent optional times stay absent. */
const optionalTime = <K extends string>(key: K, ms: number | null) =>
  (ms === null ? {} : { [key]: timestampFromMs(ms) }) as Partial<Record<K, Timestamp>>;

/** Bytes of an optional message; null when it is absent. */
export function bytesOrNull<D extends DescMessage>(
  schema: D,
  message: MessageShape<D> | undefined,
): Uint8Array | null {
  return message === undefined ? null : toBinary(schema, message);
}

export const msOf = (time: Timestamp | undefined): number | undefined =>
  time === undefined ? undefined : timestampDate(time).getTime();

export function toTurn(tenantId: string, row: TurnRow): Turn {
  const config = fromBinary(AgentConfigSchema, row.config);
  const started = row.start_time_ms !== null;
  return create(TurnSchema, {
    turnId: row.turn_id,
    agentId: row.agent_id,
    requestId: row.request_id,
    status: row.status,
    stopReason: row.stop_reason,
    ...(row.error && { error: fromBinary(ErrorMessageSchema, row.error) }),
    createTime: timestampFromMs(row.create_time_ms),
    ...optionalTime('startTime', row.start_time_ms),
    ...optionalTime('endTime', row.end_time_ms),
    engineId: row.engine_id,
    model: config.model,
    ...(row.stats && { stats: fromBinary(TurnStatsSchema, row.stats) }),
    firstPosition: row.first_position,
    startCursor: started
      ? createCursorCodec(tenantId, row.agent_id).encode(BigInt(row.start_epoch), row.start_seq)
      : '',
  });
}

export function toTurnRecord(tenantId: string, row: TurnRow): TurnRecord {
  return create(TurnRecordSchema, {
    turn: toTurn(tenantId, row),
    config: fromBinary(AgentConfigSchema, row.config),
    maxOutputTokens: row.max_output_tokens,
    maxIterations: row.max_iterations,
    start: { epoch: BigInt(row.start_epoch), seq: BigInt(row.start_seq) },
    ...(row.end_epoch !== null &&
      row.end_seq !== null && { end: { epoch: BigInt(row.end_epoch), seq: BigInt(row.end_seq) } }),
    workingDirectory: row.working_directory,
  });
}

export function toEventBatch(row: EventBatchRow): EventBatch {
  return create(EventBatchSchema, {
    firstSeq: BigInt(row.first_seq),
    lastSeq: BigInt(row.last_seq),
    epoch: BigInt(row.epoch),
    turnId: row.turn_id,
    engineId: row.engine_id,
    events: row.events,
    endsTurn: row.ends_turn !== 0,
  });
}

export function modelAttemptStep(row: ModelAttemptRow): Step {
  return create(StepSchema, {
    turnId: row.turn_id,
    step: row.step,
    engineId: row.engine_id,
    epoch: BigInt(row.epoch),
    startTime: timestampFromMs(row.start_time_ms),
    ...optionalTime('endTime', row.end_time_ms),
    kind: {
      case: 'modelAttempt',
      value: {
        attempt: row.attempt,
        model: row.model,
        status: row.status,
        ...(row.usage && { usage: fromBinary(TokenUsageSchema, row.usage) }),
        ...(row.cost_micro_usd !== null && { costMicroUsd: BigInt(row.cost_micro_usd) }),
        errorReason: row.error_reason,
      },
    },
  });
}

export function toolRunStep(row: ToolRunRow): Step {
  return create(StepSchema, {
    turnId: row.turn_id,
    step: row.step,
    engineId: row.engine_id,
    epoch: BigInt(row.epoch),
    ...optionalTime('startTime', row.start_time_ms),
    ...optionalTime('endTime', row.end_time_ms),
    kind: {
      case: 'toolRun',
      value: {
        toolCallId: row.tool_call_id,
        name: row.name,
        run: row.run,
        status: row.status,
        outcome: row.outcome,
        inputJson: row.input_json,
      },
    },
  });
}
