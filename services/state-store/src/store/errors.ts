/** The domain errors of agents' records and states. */
import { Code } from '@connectrpc/connect';
import { DomainError } from '@agentx/service-kit';

export const stateNotFound = (agentId: string) =>
  new DomainError(Code.NotFound, 'STATE_NOT_FOUND', `nothing is known of the state of agent ${agentId}`, {
    metadata: { agent_id: agentId },
  });

export const agentNotFound = (agentId: string) =>
  new DomainError(Code.NotFound, 'AGENT_NOT_FOUND', `there is no agent ${agentId}`, {
    metadata: { agent_id: agentId },
  });

export const agentExists = (agentId: string) =>
  new DomainError(
    Code.AlreadyExists,
    'AGENT_EXISTS',
    `there is an agent ${agentId} already: choose another id`,
    {
      metadata: { agent_id: agentId },
    },
  );

export const revisionConflict = (agentId: string, named: bigint, stored: bigint) =>
  new DomainError(
    Code.Aborted,
    'REVISION_CONFLICT',
    `agent ${agentId} has revision ${stored}, not ${named}: read it again and repeat the change on top of it`,
    { metadata: { agent_id: agentId, revision: String(stored) } },
  );

export const invalid = (field: string, fault: string, mend: string) =>
  new DomainError(Code.InvalidArgument, 'INVALID_REQUEST', `${field} ${fault}: ${mend}`, {
    metadata: { field },
  });
