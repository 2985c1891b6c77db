import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { DriverEvent } from '../driver/driver.ts';

/** Longer ids are cut; the contract allows 256 characters. */
const MAX_LENGTH = 200;

/**
 * Makes the ids of tool calls unique within a turn: a call is known by its id, and some servers begin at `call_0` again in
 * each answer, or leave the id empty. What is unique already stays as it is.
 */
export function createToolCallIds(
  history: readonly Message[],
  turnId: string,
): (event: DriverEvent) => DriverEvent {
  const used = new Set(history.filter((message) => message.turnId === turnId).flatMap(callsOf));
  const ids = new Map<number, string>();
  return (event) => {
    switch (event.type) {
      case 'tool_use_start':
        ids.set(event.part, takeId(used, event.toolCallId));
        return renamed(event);
      case 'input_json_delta':
      case 'tool_use_stop':
        return renamed(event);
      default:
        return event;
    }
  };

  function renamed<E extends DriverEvent & { readonly part: number; readonly toolCallId: string }>(
    event: E,
  ): E {
    const id = ids.get(event.part) ?? event.toolCallId;
    return id === event.toolCallId ? event : { ...event, toolCallId: id };
  }
}

function takeId(used: Set<string>, wanted: string): string {
  const base = wanted === '' ? 'call' : wanted.slice(0, MAX_LENGTH);
  let id = base;
  for (let n = 2; used.has(id); n++) id = `${base}_${n}`;
  used.add(id);
  return id;
}

function callsOf({ body }: Message): string[] {
  if (body.case !== 'assistant') return [];
  return body.value.content.flatMap(({ part }) => (part.case === 'toolUse' ? [part.value.toolCallId] : []));
}
