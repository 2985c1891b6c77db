/** The domain errors of the turn log. */
import { Code } from '@connectrpc/connect';
import { DomainError } from '@agentx/service-kit';
import type { LeaseRef } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';

export const fenced = (lease: LeaseRef) =>
  new DomainError(
    Code.Aborted,
    'FENCED',
    `the lease of agent ${lease.agentId} with epoch ${lease.epoch} is no longer current: another engine has taken over or the turn has ended; drop the turn`,
    { metadata: { agent_id: lease.agentId, turn_id: lease.turnId, epoch: String(lease.epoch) } },
  );

export const turnInProgress = (agentId: string, turnId: string) =>
  new DomainError(
    Code.Aborted,
    'TURN_IN_PROGRESS',
    `agent ${agentId} is busy with turn ${turnId}: wait for its end (Subscribe with its turn_id), then send the message again`,
    { metadata: { agent_id: agentId, turn_id: turnId } },
  );

export const requestIdReused = (agentId: string, requestId: string) =>
  new DomainError(
    Code.InvalidArgument,
    'REQUEST_ID_REUSED',
    `request_id ${requestId} of agent ${agentId} was used before for a request with another body: use a new request_id`,
    { metadata: { agent_id: agentId, request_id: requestId } },
  );

export const turnNotFound = (agentId: string, turnId: string) =>
  new DomainError(Code.NotFound, 'TURN_NOT_FOUND', `agent ${agentId} has no turn ${turnId}`, {
    metadata: { agent_id: agentId, turn_id: turnId },
  });

export const turnEnded = (agentId: string, turnId: string) =>
  new DomainError(Code.FailedPrecondition, 'TURN_ENDED', `turn ${turnId} of agent ${agentId} has ended`, {
    metadata: { agent_id: agentId, turn_id: turnId },
  });

export const leaseHeld = (agentId: string, turnId: string, engineId: string) =>
  new DomainError(
    Code.Aborted,
    'LEASE_HELD',
    `engine ${engineId} works on turn ${turnId} of agent ${agentId}`,
    {
      metadata: { agent_id: agentId, turn_id: turnId, engine_id: engineId },
    },
  );

export const toolResultMissing = (turnId: string, toolCallId: string) =>
  new DomainError(
    Code.FailedPrecondition,
    'TOOL_RESULT_MISSING',
    `tool call ${toolCallId} of turn ${turnId} has no result yet: commit one before the next model call`,
    { metadata: { turn_id: turnId, tool_call_id: toolCallId } },
  );

export const invalidCursor = (agentId: string, why: string) =>
  new DomainError(
    Code.InvalidArgument,
    'INVALID_CURSOR',
    `the cursor is not one of agent ${agentId}: ${why}; pass a cursor exactly as an event of this agent carried it`,
    { metadata: { agent_id: agentId } },
  );

export const invalid = (field: string, fault: string, mend: string) =>
  new DomainError(Code.InvalidArgument, 'INVALID_REQUEST', `${field} ${fault}: ${mend}`, {
    metadata: { field },
  });

export const notBuilt = (what: string, mend: string) =>
  new DomainError(Code.Unimplemented, 'NOT_IMPLEMENTED', `${what} is not built yet: ${mend}`);
