import type { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import { requireAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { actingFor } from '../stores.ts';

export const clearMessages =
  (engine: Engine): Handler<typeof EngineService.method.clearMessages> =>
  async (request, { identity, signal }) => {
    const { stores } = engine.options.parts;
    await requireAgent(stores, identity.tenantId, request.agentId);
    const { agentId } = request;
    const { cleared } = await stores.session.clearMessages(
      { agentId },
      actingFor(identity.tenantId, { signal }),
    );
    return { cleared };
  };
