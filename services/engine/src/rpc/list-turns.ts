import type { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import { requireAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { actingFor } from '../stores.ts';

export const listTurns =
  (engine: Engine): Handler<typeof EngineService.method.listTurns> =>
  async (request, { identity, signal }) => {
    const { stores } = engine.options.parts;
    await requireAgent(stores, identity.tenantId, request.agentId);
    const { agentId, pageSize, pageToken } = request;
    const page = await stores.session.listTurns(
      { agentId, pageSize, pageToken },
      actingFor(identity.tenantId, { signal }),
    );
    return { turns: page.turns, nextPageToken: page.nextPageToken };
  };
