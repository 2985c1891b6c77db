import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { AttemptStatus, TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { AcquireLeaseResponseSchema } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type {
  AcquireLeaseRequest,
  AcquireLeaseResponse,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { LeaseRefSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { Transaction } from '@agentx/service-kit';
import * as errors from './errors.ts';
import { givenAgain, lockLease, toLease } from './lease.ts';
import { toTurnRecord, ttlMs } from './rows.ts';
import type { LeaseRow } from './rows.ts';
import { ofAgent } from './statements.ts';
import { listSteps, requireTurn } from './turns.ts';

/** Takes the lease of an unfinished turn that nobody holds. */
export async function acquireLease(
  tx: Transaction,
  tenantId: string,
  request: AcquireLeaseRequest,
): Promise<AcquireLeaseResponse> {
  const { agentId, turnId } = request;
  const before = await lockLease(tx, tenantId, agentId);
  const turn = await requireTurn(tx, tenantId, agentId, turnId);
  if (turn.status === TurnStatus.ENDED || before.turn_id !== turnId) throw errors.turnEnded(agentId, turnId);

  const repeated = await givenAgain(tx, tenantId, before, request);
  if (!repeated && before.expires_at_ms > before.now_ms)
    throw errors.leaseHeld(agentId, turnId, before.engine_id);
  const lease: LeaseRow = repeated
    ? before
    : { ...before, epoch: before.epoch + 1, claims: before.claims + 1 };
  if (!repeated) await takeOver(tx, tenantId, request, lease);

  const ref = create(LeaseRefSchema, { agentId, turnId, epoch: BigInt(lease.epoch) });
  return create(AcquireLeaseResponseSchema, {
    lease: toLease(ref, lease, ttlMs(request.leaseTtl)),
    turn: toTurnRecord(tenantId, { ...turn, engine_id: request.engineId }),
    steps: await listSteps(tx, tenantId, agentId, turnId),
    claims: lease.claims,
  });
}

async function takeOver(
  tx: Transaction,
  tenantId: string,
  request: AcquireLeaseRequest,
  lease: LeaseRow,
): Promise<void> {
  const { agentId, turnId, engineId } = request;
  await tx.rows(
    sql`update ${tx.table('lease')} set epoch = ${lease.epoch}, acquisition_id = ${request.acquisitionId},
          engine_id = ${engineId}, expires_at_ms = ${tx.nowMs} + ${ttlMs(request.leaseTtl)}, claims = ${lease.claims}
        where ${ofAgent(tenantId, agentId)}`,
  );
  await tx.rows(
    sql`update ${tx.table('turn')} set engine_id = ${engineId}
        where ${ofAgent(tenantId, agentId)} and turn_id = ${turnId}`,
  );
  // The former holder's model call can no longer be committed.
  await tx.rows(
    sql`update ${tx.table('model_attempt')} set status = ${AttemptStatus.ABANDONED}, end_time_ms = ${lease.now_ms}
        where ${ofAgent(tenantId, agentId)} and turn_id = ${turnId} and status = ${AttemptStatus.STARTED}`,
  );
}
