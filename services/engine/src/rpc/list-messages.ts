import type { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import { requireAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { actingFor } from '../stores.ts';

export const listMessages =
  (engine: Engine): Handler<typeof EngineService.method.listMessages> =>
  async (request, { identity, signal }) => {
    const { stores } = engine.options.parts;
    await requireAgent(stores, identity.tenantId, request.agentId);
    const { agentId, pageSize, pageToken, newestFirst } = request;
    const page = await stores.session.getMessages(
      { agentId, pageSize, pageToken, newestFirst },
      actingFor(identity.tenantId, { signal }),
    );
    return { messages: page.messages, nextPageToken: page.nextPageToken };
  };
