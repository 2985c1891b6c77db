import { create, toBinary } from '@bufbuild/protobuf';
import { durationFromMs, timestampNow } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { createHash, randomUUID } from 'node:crypto';
import { AgentConfigSchema } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { UserMessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { UserMessage } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { OnBusy, ReceiveRequestSchema } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { EngineService, ReceiveRequest } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { BusyPolicy } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { BeginTurnResponse } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { TurnRecord } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { DomainError } from '@agentx/service-kit';
import type { Handler } from '@agentx/service-kit';
import { openAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { actingFor } from '../stores.ts';
import { followFromStart, followLog } from '../turn/follow.ts';
import type { EventGroups, FollowRequest } from '../turn/follow.ts';
import { streamEvents } from './stream-events.ts';

const POLICIES: Record<number, BusyPolicy> = {
  [OnBusy.ENQUEUE]: BusyPolicy.ENQUEUE,
  [OnBusy.INTERRUPT]: BusyPolicy.INTERRUPT,
};

export const receive = (engine: Engine): Handler<typeof EngineService.method.receive> =>
  async function* (request, { identity, signal }) {
    if (engine.draining)
      throw new DomainError(
        Code.Unavailable,
        'DRAINING',
        'this engine is being stopped: try again, another one answers',
      );
    const { tenantId } = identity;
    const requestId = request.requestId === '' ? randomUUID() : request.requestId;
    const askedMs = performance.now();
    const { outcome } = await begin(engine, tenantId, { ...request, requestId });
    const { parts } = engine.options;
    switch (outcome.case) {
      case 'begun': {
        const reader = engine.start(tenantId, outcome.value, askedMs);
        try {
          const turn = turnOf(outcome.value.turn);
          yield { event: accepted(engine, turn, requestId, false) };
          yield* eventsOf(engine, tenantId, turn, signal, (follow, until) =>
            followFromStart(parts.stores, reader, follow, until),
          );
          return;
        } finally {
          // A client that leaves right after turn_accepted never began to read.
          reader.close();
        }
      }
      case 'exists': {
        const turn = turnOf(outcome.value.turn);
        const running = engine.running.get(turn.turnId);
        running?.attached();
        yield { event: accepted(engine, turn, requestId, true) };
        yield* eventsOf(engine, tenantId, turn, signal, (follow, until) =>
          followLog(parts.stores, running, follow, until),
        );
        return;
      }
      default:
        throw new Error(`the session store answered BeginTurn with ${outcome.case ?? 'nothing'}`);
    }
  };

/** All events of a turn, from its first. */
async function* eventsOf(
  engine: Engine,
  tenantId: string,
  { agentId, turnId, start }: AcceptedTurn,
  signal: AbortSignal,
  read: (follow: FollowRequest, signal: AbortSignal) => EventGroups,
) {
  const follow = { tenantId, agentId, turnId, after: start, follow: true };
  const events = streamEvents(engine, agentId, turnId, signal, (until) => read(follow, until));
  for await (const event of events) yield { event };
}

async function begin(engine: Engine, tenantId: string, request: ReceiveRequest): Promise<BeginTurnResponse> {
  const { parts, autoCreateAgents, defaultModel, engineId, leaseTtlMs } = engine.options;
  const { agentId, requestId, options } = request;
  const message = userMessage(request);
  const agent = await openAgent(parts.stores, tenantId, agentId, autoCreateAgents);
  const model = [options?.model, agent.config?.model, defaultModel].find(
    (name) => name !== undefined && name !== '',
  );
  return parts.stores.session.beginTurn(
    {
      agentId,
      requestId,
      requestHash: hashOf(request, message),
      message,
      config: { ...(agent.config ?? create(AgentConfigSchema)), model: model ?? '' },
      onBusy: POLICIES[request.onBusy] ?? BusyPolicy.REJECT,
      engineId,
      acquisitionId: randomUUID(),
      leaseTtl: durationFromMs(leaseTtlMs),
      maxOutputTokens: options?.maxOutputTokens ?? 0,
      maxIterations: options?.maxIterations ?? 0,
    },
    actingFor(tenantId),
  );
}

function userMessage({ input }: ReceiveRequest): UserMessage {
  if (input.case === 'message') return input.value;
  return create(UserMessageSchema, {
    content: [{ part: { case: 'text', value: { text: input.value ?? '' } } }],
  });
}

/** What gives the request its meaning: the same text as `text` or as a message is the same; on_busy is not part of it. */
function hashOf({ agentId, options }: ReceiveRequest, message: UserMessage): Uint8Array {
  const meaning = create(ReceiveRequestSchema, {
    agentId,
    input: { case: 'message', value: message },
    ...(options && { options }),
  });
  return createHash('sha256').update(toBinary(ReceiveRequestSchema, meaning)).digest();
}

interface AcceptedTurn {
  readonly agentId: string;
  readonly turnId: string;
  readonly start: { readonly epoch: bigint; readonly seq: bigint } | undefined;
}

function turnOf(record: TurnRecord | undefined): AcceptedTurn {
  if (record?.turn === undefined) throw new Error('the session store answered BeginTurn without the turn');
  const { agentId, turnId } = record.turn;
  return { agentId, turnId, start: record.start };
}

function accepted(engine: Engine, turn: AcceptedTurn, requestId: string, deduplicated: boolean): AgentEvent {
  const { engineId, notice } = engine.options;
  return create(AgentEventSchema, {
    agentId: turn.agentId,
    turnId: turn.turnId,
    engineId,
    time: timestampNow(),
    payload: { case: 'turnAccepted', value: { requestId, deduplicated, notice } },
  });
}
