import type { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import { requireAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { actingFor } from '../stores.ts';

export const listSteps =
  (engine: Engine): Handler<typeof EngineService.method.listSteps> =>
  async (request, { identity, signal }) => {
    const { stores } = engine.options.parts;
    await requireAgent(stores, identity.tenantId, request.agentId);
    const { agentId, turnId } = request;
    const { steps } = await stores.session.listSteps(
      { agentId, turnId },
      actingFor(identity.tenantId, { signal }),
    );
    return { steps };
  };
