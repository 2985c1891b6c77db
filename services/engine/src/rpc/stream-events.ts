import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { Engine } from '../engine.ts';
import { withHeartbeats } from './heartbeats.ts';

/** The events of one client's stream, with heartbeats while nothing happens. */
export function streamEvents(
  engine: Engine,
  agentId: string,
  turnId: string,
  signal: AbortSignal,
  read: (signal: AbortSignal) => AsyncGenerator<readonly AgentEvent[], void>,
): AsyncGenerator<AgentEvent, void> {
  const { engineId, heartbeatMs } = engine.options;
  const stop = new AbortController();
  const heartbeat = () =>
    create(AgentEventSchema, {
      agentId,
      turnId,
      engineId,
      time: timestampNow(),
      payload: { case: 'heartbeat', value: {} },
    });
  return withHeartbeats(read(AbortSignal.any([signal, stop.signal])), heartbeatMs, heartbeat, stop);
}
