import { toJson } from '@bufbuild/protobuf';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';

type Case = NonNullable<AgentEvent['payload']['case']>;
type Value<C extends Case> = Extract<AgentEvent['payload'], { case: C }>['value'];

/** How long a stream of a test may take as a whole. */
export const STREAM_TIMEOUT_MS = 20_000;

/** The signal that bounds a call of a test. */
export const bounded = (timeoutMs = STREAM_TIMEOUT_MS) => ({ signal: AbortSignal.timeout(timeoutMs) });

/** All events of a stream, to its end. */
export async function collect(stream: AsyncIterable<{ event?: AgentEvent }>): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of stream) if (event) events.push(event);
  return events;
}

/** The events of a stream up to the first that meets the condition; the stream is left then. */
export async function collectUntil(
  stream: AsyncIterable<{ event?: AgentEvent }>,
  isLast: (event: AgentEvent) => boolean,
): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of stream) {
    if (event) events.push(event);
    if (event && isLast(event)) return events;
  }
  throw new Error(`the stream ended without the awaited event, after ${casesOf(events).join(', ')}`);
}

export const casesOf = (events: readonly AgentEvent[]): string[] =>
  events.map(({ payload }) => payload.case ?? 'none');

/** The payloads of one kind. */
export function payloadsOf<C extends Case>(events: readonly AgentEvent[], kind: C): Value<C>[] {
  return events.flatMap(({ payload }) => (payload.case === kind ? [payload.value as Value<C>] : []));
}

/** The one payload of that kind. */
export function onlyPayload<C extends Case>(events: readonly AgentEvent[], kind: C): Value<C> {
  const [first, ...rest] = payloadsOf(events, kind);
  if (first === undefined || rest.length > 0)
    throw new Error(`expected one ${kind}, got ${rest.length + (first ? 1 : 0)}: ${casesOf(events).join(', ')}`);
  return first;
}

/** What is in the log: everything but what belongs to one stream. */
export const logged = (events: readonly AgentEvent[]): AgentEvent[] =>
  events.filter(({ cursor }) => cursor !== '');

/** The answer's text as it streamed. */
export const streamedText = (events: readonly AgentEvent[]): string =>
  payloadsOf(events, 'textDelta')
    .map(({ text }) => text)
    .join('');

/** An event as protobuf JSON: what is default is left out. */
export type EventJson = Record<string, unknown>;

/**
 * Events as protobuf JSON. Neighbouring pieces of a tool's output are one, with the last one's place: how output comes in
 * pieces is up to the operating system.
 */
export function eventsToJson(events: readonly AgentEvent[]): EventJson[] {
  const merged: EventJson[] = [];
  for (const event of events) {
    const json = toJson(AgentEventSchema, event) as EventJson;
    const last = merged.at(-1);
    const piece = json['toolOutputDelta'] as { toolCallId: string; text: string } | undefined;
    const before = last?.['toolOutputDelta'] as typeof piece;
    if (piece && before?.toolCallId === piece.toolCallId)
      merged[merged.length - 1] = {
        ...json,
        toolOutputDelta: { ...piece, text: before.text + piece.text },
      };
    else merged.push(json);
  }
  return merged;
}
