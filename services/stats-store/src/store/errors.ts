/** The domain errors of the statistics. */
import { Code } from '@connectrpc/connect';
import { DomainError } from '@agentx/service-kit';

export const turnStatsConflict = (turnId: string) =>
  new DomainError(
    Code.AlreadyExists,
    'TURN_STATS_CONFLICT',
    `turn ${turnId} was counted before with other figures: statistics of a turn are final`,
    { metadata: { turn_id: turnId } },
  );

export const tooManyGroups = (limit: number) =>
  new DomainError(
    Code.ResourceExhausted,
    'TOO_MANY_GROUPS',
    `there are more than ${limit} groups: narrow the times of the filter`,
    { metadata: { limit: String(limit) } },
  );

export const invalid = (field: string, fault: string, mend: string) =>
  new DomainError(Code.InvalidArgument, 'INVALID_REQUEST', `${field} ${fault}: ${mend}`, {
    metadata: { field },
  });
