import { toJson } from '@bufbuild/protobuf';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';

type Case = NonNullable<AgentEvent['payload']['case']>;
type Value<C extends Case> = Extract<AgentEvent['payload'], { case: C }>['value'];

/** How long a stream of a test may take as a whole. */
export const STREAM_TIMEOUT_MS = 20_000;

/** The signal that bounds a call of a test. */
export const bounded = (timeoutMs = STREAM_TIMEOUT_MS) => ({ signal: AbortSignal.timeout(timeoutMs) });

/** What Receive and Subscribe stream. */
export type EventStream = AsyncIterable<{ event?: AgentEvent | undefined }>;

/** A stream that is read in parts. */
export interface EventReader {
  /** The next events up to the first that meets the condition. Throws when the stream ends before it. */
  until(isLast: (event: AgentEvent) => boolean): Promise<AgentEvent[]>;
  /** All that is left. */
  rest(): Promise<AgentEvent[]>;
}

export function readInParts(stream: EventStream): EventReader {
  const iterator: AsyncIterator<{ event?: AgentEvent | undefined }, unknown> = stream[Symbol.asyncIterator]();
  /** Undefined where the stream has ended before such an event. */
  async function read(events: AgentEvent[], isLast: (event: AgentEvent) => boolean) {
    for (;;) {
      const result = await iterator.next();
      if (result.done === true) return undefined;
      const { event } = result.value;
      if (event) events.push(event);
      if (event && isLast(event)) return events;
    }
  }
  return {
    until: async (isLast) => {
      const events: AgentEvent[] = [];
      if (await read(events, isLast)) return events;
      throw new Error(`the stream ended without the awaited event, after ${casesOf(events).join(', ')}`);
    },
    rest: async () => {
      const events: AgentEvent[] = [];
      await read(events, () => false);
      return events;
    },
  };
}

/** All events of a stream, to its end. */
export const collect = (stream: EventStream): Promise<AgentEvent[]> => readInParts(stream).rest();

/** The events of a stream up to the first that meets the condition; the stream is left then. */
export async function collectUntil(
  stream: EventStream,
  isLast: (event: AgentEvent) => boolean,
): Promise<AgentEvent[]> {
  const iterator = stream[Symbol.asyncIterator]();
  try {
    return await readInParts({ [Symbol.asyncIterator]: () => iterator }).until(isLast);
  } finally {
    await iterator.return?.();
  }
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
    throw new Error(
      `expected one ${kind}, got ${rest.length + (first ? 1 : 0)}: ${casesOf(events).join(', ')}`,
    );
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
