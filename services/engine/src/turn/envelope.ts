import { fromBinary } from '@bufbuild/protobuf';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { EventBatch } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { CursorCodec } from '@agentx/service-kit';
import type { LiveEvent } from '../presenters/live-turn.ts';

/** What is the same for all events of a batch: the log keeps it once, and readers see it in each event. */
export interface Envelope {
  readonly agentId: string;
  readonly turnId: string;
  readonly engineId: string;
  readonly epoch: bigint;
  /** Of the agent. */
  readonly cursors: CursorCodec;
}

/** Fills in what the log leaves out. */
export function address(event: AgentEvent, seq: number, envelope: Envelope): AgentEvent {
  event.agentId = envelope.agentId;
  event.turnId = envelope.turnId;
  event.engineId = envelope.engineId;
  event.cursor = envelope.cursors.encode(envelope.epoch, seq);
  return event;
}

/** Events of a row of the log as readers see them. */
export function readBatch(
  batch: Pick<EventBatch, 'firstSeq' | 'epoch' | 'turnId' | 'engineId' | 'events'>,
  agent: Pick<Envelope, 'agentId' | 'cursors'>,
): LiveEvent[] {
  const { turnId, engineId, epoch } = batch;
  const envelope = { ...agent, turnId, engineId, epoch };
  const { events } = fromBinary(AgentEventBatchSchema, batch.events);
  return events.map((event, index) => {
    const seq = Number(batch.firstSeq) + index;
    return { seq, event: address(event, seq, envelope) };
  });
}
