import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Step, Turn } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import type {
  AcquireLeaseRequest,
  AcquireLeaseResponse,
  AddMessageRequest,
  AppendEventsRequest,
  BeginTurnRequest,
  BeginTurnResponse,
  CommitStepRequest,
  EndTurnRequest,
  EndTurnResponse,
  LeaseStatus,
  RenewLeaseRequest,
  TailEventsRequest,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type {
  EventBatch,
  LeaseRef,
  TurnRecord,
  WorkItem,
} from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';

/** Which part of a history to read. */
export interface MessageRange {
  readonly agentId: string;
  /** Messages beyond this position in the direction of reading; undefined: from the end that comes first. */
  readonly beyondPosition: number | undefined;
  readonly newestFirst: boolean;
  /** At most so many. */
  readonly limit: number;
}

export interface MessagePage {
  readonly messages: readonly Message[];
  /** True when there are messages beyond the last of these. */
  readonly more: boolean;
}

/** Where a page of turns begins: the last turn of the page before. */
export interface TurnPlace {
  readonly createTimeMs: number;
  readonly turnId: string;
}

/**
 * Histories and the turn log, in one transaction scope.
 *
 * The contract, for every adapter:
 * - A tenant sees and changes its own rows only; another tenant's agent is as one that never was.
 * - Writes are atomic: a promise that fulfils means committed and durable, one that rejects means that nothing was
 *   written, except `DATABASE_UNAVAILABLE`, after which the caller repeats the write with the same key.
 * - Writes of a turn name a lease; they fail with ABORTED `FENCED` when its epoch is not the agent's current one, its turn
 *   has ended, or the batch does not follow the agent's last sequence number. The same batch again changes nothing and
 *   reports `alreadyApplied`. Every such write extends the lease.
 * - Reads see committed rows only.
 */
export interface SessionStore {
  /** Messages above the floor, ordered by position in the direction asked for; near 8 MiB at most, but at least one. */
  getMessages(tenantId: string, range: MessageRange): Promise<MessagePage>;
  /** Fails with ABORTED `TURN_IN_PROGRESS`, INVALID_ARGUMENT `REQUEST_ID_REUSED`. Idempotent on request_id. */
  addMessage(tenantId: string, request: AddMessageRequest): Promise<Message>;
  /** Number of messages removed. Fails with ABORTED `TURN_IN_PROGRESS`. */
  clearMessages(tenantId: string, agentId: string): Promise<number>;

  /** C0. Fails with ABORTED `TURN_IN_PROGRESS`, INVALID_ARGUMENT `REQUEST_ID_REUSED`. */
  beginTurn(tenantId: string, request: BeginTurnRequest): Promise<BeginTurnResponse>;
  /** Fails with ABORTED `LEASE_HELD`, FAILED_PRECONDITION `TURN_ENDED`, NOT_FOUND `TURN_NOT_FOUND`. */
  acquireLease(tenantId: string, request: AcquireLeaseRequest): Promise<AcquireLeaseResponse>;
  /** Fails with ABORTED `FENCED`. */
  renewLease(tenantId: string, request: RenewLeaseRequest): Promise<LeaseStatus>;
  /** False when the lease is no longer the caller's. */
  releaseLease(tenantId: string, lease: LeaseRef): Promise<boolean>;
  /** C1, C3, C4, C5. Also fails with FAILED_PRECONDITION `TOOL_RESULT_MISSING`. */
  commitStep(tenantId: string, request: CommitStepRequest): Promise<LeaseStatus>;
  /** C2. */
  appendEvents(tenantId: string, request: AppendEventsRequest): Promise<LeaseStatus>;
  /** C6. */
  endTurn(tenantId: string, request: EndTurnRequest): Promise<EndTurnResponse>;

  /**
   * Rows of the log after a place, in order; with follow until the signal aborts or the turn asked for has ended. The
   * first row may begin before the place. Fails with INVALID_ARGUMENT `INVALID_CURSOR`, NOT_FOUND `TURN_NOT_FOUND`.
   */
  tailEvents(tenantId: string, request: TailEventsRequest, signal: AbortSignal): AsyncIterable<EventBatch>;
  /** Work of all tenants that no engine is doing: first what there is, then what comes up, until the signal aborts. */
  watchWork(signal: AbortSignal): AsyncIterable<WorkItem>;
  /** Number of entries removed. */
  ackOutbox(tenantId: string, outboxIds: readonly string[]): Promise<number>;

  /** Fails with NOT_FOUND `TURN_NOT_FOUND`. */
  getTurn(tenantId: string, agentId: string, turnId: string): Promise<TurnRecord>;
  /** Newest first, after a place. */
  listTurns(tenantId: string, agentId: string, after: TurnPlace | undefined, limit: number): Promise<Turn[]>;
  /** Each model call followed by the tools it asked for, in order. Fails with NOT_FOUND `TURN_NOT_FOUND`. */
  listSteps(tenantId: string, agentId: string, turnId: string): Promise<Step[]>;
}
