import { create } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { AgentConfigSchema } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import type { AgentRecord } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { codeOf, DomainError } from '@agentx/service-kit';
import { actingFor } from './stores.ts';
import type { Stores } from './stores.ts';

/** Reads an agent's record. @throws NOT_FOUND `AGENT_NOT_FOUND` */
export async function requireAgent(stores: Stores, tenantId: string, agentId: string): Promise<AgentRecord> {
  const record = await findAgent(stores, tenantId, agentId);
  if (record === undefined) throw agentNotFound(agentId);
  return record;
}

/** Reads an agent's record, making one with defaults where that is allowed. @throws NOT_FOUND `AGENT_NOT_FOUND` */
export async function openAgent(
  stores: Stores,
  tenantId: string,
  agentId: string,
  createUnknown: boolean,
): Promise<AgentRecord> {
  const known = await findAgent(stores, tenantId, agentId);
  if (known !== undefined) return known;
  if (!createUnknown) throw agentNotFound(agentId);
  try {
    const { record } = await stores.state.createAgentRecord(
      { record: { agentId, config: create(AgentConfigSchema) } },
      actingFor(tenantId),
    );
    if (record !== undefined) return record;
  } catch (error) {
    // Another request made it at the same moment.
    if (codeOf(error) !== Code.AlreadyExists) throw error;
  }
  return requireAgent(stores, tenantId, agentId);
}

async function findAgent(
  stores: Stores,
  tenantId: string,
  agentId: string,
): Promise<AgentRecord | undefined> {
  try {
    return (await stores.state.getAgentRecord({ agentId }, actingFor(tenantId))).record;
  } catch (error) {
    if (codeOf(error) === Code.NotFound) return undefined;
    throw error;
  }
}

const agentNotFound = (agentId: string) =>
  new DomainError(
    Code.NotFound,
    'AGENT_NOT_FOUND',
    `there is no agent ${agentId}: create it first, or set AGENTX_AUTO_CREATE_AGENTS=true to have a first message create it`,
    { metadata: { agent_id: agentId } },
  );
