import { create } from '@bufbuild/protobuf';
import type {
  ContentBlock,
  RawContentBlockDelta,
  RawMessageStreamEvent,
} from '@anthropic-ai/sdk/resources/messages/messages';
import { TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { addReport, readStopReason } from './anthropic-usage.ts';
import type { DriverEvent } from './driver.ts';
import { parseObject } from './history-blocks.ts';

type Emit = (event: DriverEvent) => void;

/** What is open between a block's start and its stop. */
interface OpenBlock {
  delta(delta: RawContentBlockDelta): void;
  stop(): void;
}

/**
 * Turns the events of one streamed answer into the driver's. Blocks and deltas of kinds that it does not know become
 * server tools, kinds of events that it does not know are ignored: the API adds all three in time.
 *
 * @throws where the events make no sense, for example a delta of a block that never started.
 */
export function createTranslator(emit: Emit): (event: RawMessageStreamEvent) => void {
  const open = new Map<number, OpenBlock>();
  let usage = create(TokenUsageSchema);
  let parts = 0;
  // Given out with a part's first event, so that a block without content leaves no gap.
  const nextPart = (): number => parts++;

  const find = (index: number): OpenBlock => {
    const block = open.get(index);
    if (!block) throw new Error(`the answer's block ${index} was never started`);
    return block;
  };

  return (event) => {
    switch (event.type) {
      case 'message_start':
        usage = addReport(usage, event.message.usage);
        emit({ type: 'message_start', model: event.message.model, usage });
        break;
      case 'content_block_start':
        open.set(event.index, openBlock(event.content_block, nextPart, emit));
        break;
      case 'content_block_delta':
        find(event.index).delta(event.delta);
        break;
      case 'content_block_stop':
        find(event.index).stop();
        open.delete(event.index);
        break;
      case 'message_delta':
        usage = addReport(usage, event.usage);
        emit({ type: 'message_delta', stopReason: readStopReason(event.delta.stop_reason), usage });
        break;
      case 'message_stop':
        if (open.size > 0) throw new Error('the answer ended within a block');
        emit({ type: 'message_stop' });
        break;
    }
  };
}

function openBlock(start: ContentBlock, nextPart: () => number, emit: Emit): OpenBlock {
  switch (start.type) {
    case 'text':
      return openText(start.text, nextPart, emit);
    case 'thinking':
      return openThinking(start, nextPart, emit);
    case 'redacted_thinking':
      emit({ type: 'redacted_thinking', part: nextPart(), data: start.data });
      return { delta: ignore, stop: ignore };
    case 'tool_use':
      return openToolUse(start, nextPart(), emit);
    default:
      return openOther(start, nextPart(), emit);
  }
}

function openText(initial: string, nextPart: () => number, emit: Emit): OpenBlock {
  let part: number | undefined;
  const say = (text: string): void => {
    if (text === '') return;
    part ??= nextPart();
    emit({ type: 'text_delta', part, text });
  };
  say(initial);
  return {
    delta: (delta) => {
      if (delta.type === 'text_delta') say(delta.text);
    },
    stop: ignore,
  };
}

function openThinking(
  start: { thinking: string; signature: string },
  nextPart: () => number,
  emit: Emit,
): OpenBlock {
  let part: number | undefined;
  let { signature } = start;
  const think = (text: string): void => {
    if (text === '') return;
    part ??= nextPart();
    emit({ type: 'thinking_delta', part, text });
  };
  think(start.thinking);
  return {
    delta: (delta) => {
      if (delta.type === 'thinking_delta') think(delta.thinking);
      else if (delta.type === 'signature_delta') signature += delta.signature;
    },
    // Sent only when it is whole: thinking with half a signature would be sent back, and refused.
    stop: () => {
      if (signature === '') return;
      part ??= nextPart();
      emit({ type: 'signature_delta', part, signature });
    },
  };
}

function openToolUse(
  start: { id: string; name: string; input: unknown },
  part: number,
  emit: Emit,
): OpenBlock {
  const toolCallId = start.id;
  let empty = true;
  emit({ type: 'tool_use_start', part, toolCallId, name: start.name });
  const write = (partialJson: string): void => {
    if (partialJson === '') return;
    empty = false;
    emit({ type: 'input_json_delta', part, toolCallId, partialJson });
  };
  return {
    delta: (delta) => {
      if (delta.type === 'input_json_delta') write(delta.partial_json);
    },
    stop: () => {
      // A call without arguments streams none; some compatible servers put all of them into the start.
      if (empty) write(JSON.stringify(start.input ?? {}));
      emit({ type: 'tool_use_stop', part, toolCallId });
    },
  };
}

/** Folds whatever comes: texts and lists grow, everything else is replaced. */
function openOther(start: { type: string }, part: number, emit: Emit): OpenBlock {
  const block: Record<string, unknown> = { ...start };
  let inputJson = '';
  return {
    delta: (delta) => {
      if (delta.type === 'input_json_delta') {
        inputJson += delta.partial_json;
        return;
      }
      for (const [field, value] of Object.entries(delta)) {
        if (field !== 'type') block[field] = grow(block[field], value);
      }
    },
    stop: () => {
      if (inputJson !== '') block['input'] = parseObject(inputJson) ?? inputJson;
      emit({ type: 'server_tool', part, blockType: start.type, blockJson: JSON.stringify(block) });
    },
  };
}

function grow(before: unknown, piece: unknown): unknown {
  if (typeof before === 'string' && typeof piece === 'string') return before + piece;
  if (Array.isArray(before) && Array.isArray(piece))
    return [...(before as unknown[]), ...(piece as unknown[])];
  return piece;
}

function ignore(): void {
  // Nothing of this block is left to say.
}
