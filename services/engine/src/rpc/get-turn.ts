import type { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import { requireAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { actingFor } from '../stores.ts';

export const getTurn =
  (engine: Engine): Handler<typeof EngineService.method.getTurn> =>
  async (request, { identity, signal }) => {
    const { stores } = engine.options.parts;
    await requireAgent(stores, identity.tenantId, request.agentId);
    const { agentId, turnId } = request;
    const { turn } = await stores.session.getTurn(
      { agentId, turnId },
      actingFor(identity.tenantId, { signal }),
    );
    return turn?.turn === undefined ? {} : { turn: turn.turn };
  };
