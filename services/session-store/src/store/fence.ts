import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import type { LeaseRef } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import * as errors from './errors.ts';

/**
 * The fence, as a condition on the lease: whoever holds another epoch, or a turn that has ended, changes nothing. Never
 * the expiry: an engine that was slow while nobody took over may go on.
 */
export const heldUnder = (lease: LeaseRef): RawBuilder<unknown> =>
  sql`epoch = ${epochOf(lease)} and turn_id = ${lease.turnId}`;

/** The epoch as the database keeps it. One beyond what it can count was never given to anybody. */
export function epochOf(lease: LeaseRef): number {
  if (lease.epoch > Number.MAX_SAFE_INTEGER) throw errors.fenced(lease);
  return Number(lease.epoch);
}
