import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { defineService } from '@agentx/service-kit';
import type { ServiceDefinition } from '@agentx/service-kit';
import type { Engine } from './engine.ts';
import { clearMessages } from './rpc/clear-messages.ts';
import { getTurn } from './rpc/get-turn.ts';
import { getUsage } from './rpc/get-usage.ts';
import { listMessages } from './rpc/list-messages.ts';
import { listSteps } from './rpc/list-steps.ts';
import { listTurns } from './rpc/list-turns.ts';
import { receive } from './rpc/receive.ts';
import { subscribe } from './rpc/subscribe.ts';

/** What clients call. Interrupt, ResolveToolCall and ListPendingToolCalls are not built yet and say so. */
export function createEngineService(engine: Engine): ServiceDefinition<typeof EngineService> {
  return defineService(EngineService, {
    receive: receive(engine),
    subscribe: subscribe(engine),
    getTurn: getTurn(engine),
    listTurns: listTurns(engine),
    listSteps: listSteps(engine),
    listMessages: listMessages(engine),
    clearMessages: clearMessages(engine),
    getUsage: getUsage(engine),
  });
}
