import type { Lease } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { HeldTurn } from './open-turn.ts';

/** A lease as the store gave it, which always names what it is for. */
export function holdLease(lease: Lease | undefined): HeldTurn['lease'] {
  const ref = lease?.ref;
  if (lease === undefined || ref === undefined) throw new Error('the session store gave no lease');
  return { ...lease, ref };
}
