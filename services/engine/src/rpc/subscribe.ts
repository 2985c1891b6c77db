import type { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createCursorCodec } from '@agentx/service-kit';
import type { Handler } from '@agentx/service-kit';
import { requireAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { followLog } from '../turn/follow.ts';
import { streamEvents } from './stream-events.ts';

export const subscribe = (engine: Engine): Handler<typeof EngineService.method.subscribe> =>
  async function* ({ agentId, turnId, afterCursor, follow }, { identity, signal }) {
    const { tenantId } = identity;
    const { stores } = engine.options.parts;
    await requireAgent(stores, tenantId, agentId);
    const after = afterCursor === '' ? undefined : createCursorCodec(tenantId, agentId).decode(afterCursor);
    const running = turnId === '' ? undefined : engine.running.get(turnId);
    const events = streamEvents(engine, agentId, turnId, signal, (until) =>
      followLog(stores, running, { tenantId, agentId, turnId, after, follow }, until),
    );
    for await (const event of events) yield { event };
  };
