import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { Transaction } from '@agentx/service-kit';
import { create } from '@bufbuild/protobuf';
import { LeaseStatusSchema } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type {
  AcquireLeaseRequest,
  LeaseStatus,
  RenewLeaseRequest,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { LeaseSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { EventBatch, Lease, LeaseRef } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import * as errors from './errors.ts';
import { epochOf, heldUnder } from './fence.ts';
import { ttlMs } from './rows.ts';
import type { EventBatchRow, LeaseRow } from './rows.ts';
import { insertRow, ofAgent } from './statements.ts';

/**
 * Locks the agent's lease row for the rest of the transaction, making it when the agent is new. Whether to run, to queue
 * or to refuse is decided under this lock only.
 */
export async function lockLease(tx: Transaction, tenantId: string, agentId: string): Promise<LeaseRow> {
  const [row] = await tx.rows(
    sql<LeaseRow>`insert into ${tx.table('lease')} (tenant_id, agent_id, epoch, acquisition_id, engine_id, turn_id,
          expires_at_ms, last_seq, next_position, floor_position, interrupt_requested, interrupt_reason, claims)
        values (${tenantId}, ${agentId}, 0, '', '', '', 0, 0, 1, 0, 0, '', 0)
        on conflict (tenant_id, agent_id) do update set agent_id = excluded.agent_id
        returning epoch, acquisition_id, engine_id, turn_id, expires_at_ms, last_seq, next_position, floor_position,
          interrupt_requested, interrupt_reason, claims, ${tx.nowMs} as now_ms`,
  );
  if (row === undefined) throw new Error('an upsert of a lease returned no row');
  return row;
}

/** The lease as its holder gets it. */
export function toLease(ref: LeaseRef, row: LeaseRow, ttl: number): Lease {
  return create(LeaseSchema, {
    ref,
    expiresIn: durationFromMs(ttl),
    lastSeq: BigInt(row.last_seq),
    nextPosition: row.next_position,
    interruptRequested: row.interrupt_requested !== 0,
    interruptReason: row.interrupt_reason,
  });
}

type FencedRow = Pick<LeaseRow, 'interrupt_requested' | 'interrupt_reason' | 'next_position'> & {
  readonly now_ms: number;
};

/** What a fenced write may change on the lease besides its last sequence number. */
export interface FencedChange {
  /** Messages that the write adds. */
  readonly messages: number;
  /** Time until the lease expires; undefined gives it up and with it the turn. */
  readonly ttlMs: number | undefined;
  /** True for a write that counts as progress of a taken-over turn. */
  readonly progress: boolean;
}

/** What a write that passed the fence goes on with. */
export interface Fenced {
  readonly status: LeaseStatus;
  /** Position of the first message that the write adds. */
  readonly position: number;
  readonly nowMs: number;
}

/**
 * The fence: the first statement of every write of a turn. Updates the lease where the epoch is the caller's and the batch
 * follows the last sequence number, and writes the batch.
 *
 * @returns undefined when this very batch was written before under this epoch: the caller changes nothing more.
 * @throws FENCED when the lease is no longer the caller's.
 */
export async function passFence(
  tx: Transaction,
  tenantId: string,
  lease: LeaseRef,
  batch: EventBatch,
  change: FencedChange,
): Promise<Fenced | undefined> {
  const ends = change.ttlMs === undefined;
  checkBatch(batch, ends);
  const epoch = epochOf(lease);
  const [row] = await tx.rows(
    sql<FencedRow>`update ${tx.table('lease')}
        set last_seq = ${Number(batch.lastSeq)}, next_position = next_position + ${change.messages},
          turn_id = ${ends ? '' : lease.turnId},
          expires_at_ms = ${ends ? sql`0` : sql`${tx.nowMs} + ${change.ttlMs}`},
          claims = ${change.progress ? sql`0` : sql`claims`}
        where ${ofAgent(tenantId, lease.agentId)} and ${heldUnder(lease)}
          and last_seq = ${Number(batch.firstSeq) - 1}
        returning interrupt_requested, interrupt_reason, next_position, ${tx.nowMs} as now_ms`,
  );
  if (row === undefined) {
    if (await wasWritten(tx, tenantId, lease, batch)) return undefined;
    throw errors.fenced(lease);
  }
  await insertRow(tx, 'event_batch', {
    tenant_id: tenantId,
    agent_id: lease.agentId,
    epoch,
    last_seq: Number(batch.lastSeq),
    first_seq: Number(batch.firstSeq),
    turn_id: lease.turnId,
    engine_id: batch.engineId,
    ends_turn: ends ? 1 : 0,
    events: batch.events,
  });
  return { status: leaseStatus(row), position: row.next_position - change.messages, nowMs: row.now_ms };
}

/**
 * The fence and the batch as one statement, one round trip: the hot path of PostgreSQL, whose statements may write two
 * tables. Yields no row where the fence refuses; `passFence` then tells why.
 */
export function fencedAppend(
  tx: Pick<Transaction, 'table' | 'nowMs'>,
  tenantId: string,
  lease: LeaseRef,
  batch: EventBatch,
  leaseTtlMs: number,
): RawBuilder<Pick<LeaseRow, 'interrupt_requested' | 'interrupt_reason'>> {
  const { agentId, turnId } = lease;
  const epoch = epochOf(lease);
  const firstSeq = Number(batch.firstSeq);
  const lastSeq = Number(batch.lastSeq);
  return sql`with fence as (
      update ${tx.table('lease')} set last_seq = ${lastSeq}, expires_at_ms = ${tx.nowMs} + ${leaseTtlMs}::bigint
      where ${ofAgent(tenantId, agentId)} and ${heldUnder(lease)} and last_seq = ${firstSeq - 1}
      returning interrupt_requested, interrupt_reason
    ), logged as (
      insert into ${tx.table('event_batch')}
        (tenant_id, agent_id, epoch, last_seq, first_seq, turn_id, engine_id, ends_turn, events)
      select ${tenantId}, ${agentId}, ${epoch}::bigint, ${lastSeq}::bigint, ${firstSeq}::bigint, ${turnId},
        ${batch.engineId}, 0, ${batch.events}::bytea
      from fence
    )
    select interrupt_requested, interrupt_reason from fence`;
}

/** A batch whose answer was lost is repeated as it was: same epoch, same numbers, same bytes. */
async function wasWritten(
  tx: Transaction,
  tenantId: string,
  lease: LeaseRef,
  batch: EventBatch,
): Promise<boolean> {
  const [row] = await tx.rows(
    sql<Pick<EventBatchRow, 'first_seq' | 'turn_id' | 'events'>>`select first_seq, turn_id, events
        from ${tx.table('event_batch')}
        where ${ofAgent(tenantId, lease.agentId)} and epoch = ${epochOf(lease)}
          and last_seq = ${Number(batch.lastSeq)}`,
  );
  return (
    row?.first_seq === Number(batch.firstSeq) &&
    row.turn_id === lease.turnId &&
    Buffer.compare(row.events, batch.events) === 0
  );
}

/** A batch holds at least one event, and only the last one of a turn ends it. */
export function checkBatch(batch: EventBatch, ends: boolean): void {
  if (batch.lastSeq < batch.firstSeq)
    throw errors.invalid('batch.last_seq', 'must not be below first_seq', 'a batch holds at least one event');
  if (batch.lastSeq > Number.MAX_SAFE_INTEGER)
    throw errors.invalid('batch.last_seq', 'is beyond 2^53', 'number events from 1 without gaps');
  if (batch.endsTurn !== ends)
    throw ends
      ? errors.invalid('batch.ends_turn', 'is false', 'its last event must be turn_ended')
      : errors.invalid('batch.ends_turn', 'is true', 'only EndTurn ends a turn');
}

/**
 * Whether the lease is the one that this acquisition was given, and was not given up since: its answer was lost. The
 * lease then lasts from now, because its holder learns of it only now.
 */
export async function givenAgain(
  tx: Transaction,
  tenantId: string,
  lease: LeaseRow,
  request: Pick<AcquireLeaseRequest, 'agentId' | 'turnId' | 'acquisitionId' | 'leaseTtl'>,
): Promise<boolean> {
  const { agentId, turnId, acquisitionId } = request;
  const given = lease.acquisition_id === acquisitionId && lease.turn_id === turnId && lease.expires_at_ms > 0;
  if (given)
    await tx.rows(
      sql`update ${tx.table('lease')} set expires_at_ms = ${tx.nowMs} + ${ttlMs(request.leaseTtl)}
          where ${ofAgent(tenantId, agentId)}`,
    );
  return given;
}

/** Extends a lease. */
export async function renewLease(
  tx: Transaction,
  tenantId: string,
  request: RenewLeaseRequest,
  lease: LeaseRef,
): Promise<LeaseStatus> {
  const [row] = await tx.rows(
    sql<FencedRow>`update ${tx.table('lease')} set expires_at_ms = ${tx.nowMs} + ${ttlMs(request.leaseTtl)}
        where ${ofAgent(tenantId, lease.agentId)} and ${heldUnder(lease)}
        returning interrupt_requested, interrupt_reason`,
  );
  if (row === undefined) throw errors.fenced(lease);
  return leaseStatus(row);
}

/** Lets a lease expire at once, so that another engine can go on. False when it is no longer the caller's. */
export async function releaseLease(tx: Transaction, tenantId: string, lease: LeaseRef): Promise<boolean> {
  // A handover is no claim without progress, so the count does not grow by it.
  const rows = await tx.rows(
    sql`update ${tx.table('lease')} set expires_at_ms = 0,
          claims = case when claims > 0 then claims - 1 else 0 end
        where ${ofAgent(tenantId, lease.agentId)} and ${heldUnder(lease)} and expires_at_ms > 0
        returning epoch`,
  );
  return rows.length > 0;
}

/** What a holder is told about its lease. */
export const leaseStatus = (row: Pick<LeaseRow, 'interrupt_requested' | 'interrupt_reason'>): LeaseStatus =>
  create(LeaseStatusSchema, {
    interruptRequested: row.interrupt_requested !== 0,
    interruptReason: row.interrupt_reason,
  });

/** Answer to a write that was repeated. */
export const alreadyApplied = (): LeaseStatus => create(LeaseStatusSchema, { alreadyApplied: true });
