import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { defineService } from '@agentx/service-kit';
import type { ServiceDefinition } from '@agentx/service-kit';
import { ackOutbox } from './rpc/ack-outbox.ts';
import { acquireLease } from './rpc/acquire-lease.ts';
import { addMessage } from './rpc/add-message.ts';
import { appendEvents } from './rpc/append-events.ts';
import { beginTurn } from './rpc/begin-turn.ts';
import { clearMessages } from './rpc/clear-messages.ts';
import { commitStep } from './rpc/commit-step.ts';
import { endTurn } from './rpc/end-turn.ts';
import { getMessages } from './rpc/get-messages.ts';
import { getTurn } from './rpc/get-turn.ts';
import { listSteps } from './rpc/list-steps.ts';
import { listTurns } from './rpc/list-turns.ts';
import { releaseLease } from './rpc/release-lease.ts';
import { renewLease } from './rpc/renew-lease.ts';
import { tailEvents } from './rpc/tail-events.ts';
import { watchWork } from './rpc/watch-work.ts';
import type { SessionStore } from './store/store.ts';

/** The service over any SessionStore. */
export function createSessionStoreService(
  store: SessionStore,
): ServiceDefinition<typeof SessionStoreService> {
  return defineService(SessionStoreService, {
    getMessages: getMessages(store),
    addMessage: addMessage(store),
    clearMessages: clearMessages(store),
    beginTurn: beginTurn(store),
    acquireLease: acquireLease(store),
    renewLease: renewLease(store),
    releaseLease: releaseLease(store),
    commitStep: commitStep(store),
    appendEvents: appendEvents(store),
    endTurn: endTurn(store),
    tailEvents: tailEvents(store),
    watchWork: watchWork(store),
    ackOutbox: ackOutbox(store),
    getTurn: getTurn(store),
    listTurns: listTurns(store),
    listSteps: listSteps(store),
  });
}
