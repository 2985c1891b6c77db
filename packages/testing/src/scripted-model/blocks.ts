import type { ContentBlock, RawContentBlockDelta } from '@anthropic-ai/sdk/resources/messages/messages';
import { createId } from './wire.ts';

/** One content block of an answer: how it starts, how it streams and what it amounts to. */
export interface Block {
  readonly kind: 'block';
  /** The block of `content_block_start`. */
  readonly start: ContentBlock;
  /** Sent one `content_block_delta` each. */
  readonly deltas: readonly RawContentBlockDelta[];
  /** The block of an answer that is not streamed. */
  readonly final: ContentBlock;
  /** Wait before each delta, in milliseconds. */
  readonly delayMs: number;
}

export interface ChunkOptions {
  /** How many deltas of about equal size, or the deltas themselves. Default: pieces of about 20 characters. */
  chunks?: number | readonly string[];
  /** Wait before each delta, in milliseconds. Default 0. */
  delayMs?: number;
}

export interface ToolUseOptions extends ChunkOptions {
  /** Default: a new id in the API's format, readable as `.id` of the result. */
  id?: string;
}

/** A {@link Block} that calls a tool; `id` is what the matching tool_result must name. */
export interface ToolUse extends Block {
  readonly id: string;
}

const DEFAULT_CHUNK_LENGTH = 20;

/** A text block. `text('')` streams a block without deltas, as the API does now and then. */
export function text(value: string, options: ChunkOptions = {}): Block {
  return {
    kind: 'block',
    start: { type: 'text', text: '', citations: null },
    deltas: split(value, options.chunks).map((piece) => ({ type: 'text_delta', text: piece })),
    final: { type: 'text', text: value, citations: null },
    delayMs: options.delayMs ?? 0,
  };
}

/** A tool call. The id is made once: a block that is answered twice in one conversation repeats its id. */
export function toolUse(name: string, input: Record<string, unknown>, options: ToolUseOptions = {}): ToolUse {
  const block = partialToolUse(name, split(JSON.stringify(input), options.chunks), options);
  return { ...block, final: { ...block.start, input } as ContentBlock };
}

/**
 * A tool call whose arguments never become valid JSON. By default the answer still ends with stop_reason `tool_use`,
 * the worst case; the real API sends it with `max_tokens` (`reply({ content: [brokenJson()], stopReason: 'max_tokens' })`).
 */
export function brokenJson(
  name = 'bash',
  partialJson = '{"command": "touch broken',
  options: ToolUseOptions = {},
): ToolUse {
  return partialToolUse(name, split(partialJson, options.chunks), options);
}

/** A thinking block; `value` is empty where the model's thinking is not displayed. */
export function thinking(value: string, signature: string, options: ChunkOptions = {}): Block {
  return {
    kind: 'block',
    start: { type: 'thinking', thinking: '', signature: '' },
    deltas: [
      ...split(value, options.chunks).map((piece) => ({ type: 'thinking_delta' as const, thinking: piece })),
      { type: 'signature_delta', signature },
    ],
    final: { type: 'thinking', thinking: value, signature },
    delayMs: options.delayMs ?? 0,
  };
}

/** Thinking that was redacted: opaque `data`, sent whole. */
export function redactedThinking(data: string): Block {
  return block({ type: 'redacted_thinking', data });
}

/** Any other block, e.g. a server tool's use and result. Without `deltas` it is sent whole in its start event. */
export function block(
  final: ContentBlock,
  start: ContentBlock = final,
  deltas: readonly RawContentBlockDelta[] = [],
): Block {
  return { kind: 'block', start, deltas, final, delayMs: 0 };
}

function partialToolUse(name: string, pieces: readonly string[], options: ToolUseOptions): ToolUse {
  const id = options.id ?? createId('toolu');
  const start: ContentBlock = { type: 'tool_use', id, name, input: {}, caller: { type: 'direct' } };
  return {
    kind: 'block',
    id,
    start,
    // The API opens every tool call with an empty piece.
    deltas: ['', ...pieces].map((piece) => ({ type: 'input_json_delta', partial_json: piece })),
    final: start,
    delayMs: options.delayMs ?? 0,
  };
}

/** Cuts a text into pieces, never between the two halves of a surrogate pair. */
function split(value: string, chunks: ChunkOptions['chunks']): readonly string[] {
  if (typeof chunks === 'object') {
    if (chunks.join('') !== value) {
      throw new Error(
        `chunks must join to ${JSON.stringify(value)}, but join to ${JSON.stringify(chunks.join(''))}`,
      );
    }
    return chunks;
  }
  if (chunks !== undefined && (!Number.isInteger(chunks) || chunks < 1)) {
    throw new RangeError(`chunks must be a whole number from 1, not ${String(chunks)}`);
  }
  const length = chunks === undefined ? DEFAULT_CHUNK_LENGTH : Math.max(1, Math.ceil(value.length / chunks));
  const pieces: string[] = [];
  for (let from = 0; from < value.length;) {
    let to = Math.min(from + length, value.length);
    if (/[\uDC00-\uDFFF]/.test(value.charAt(to)) && /[\uD800-\uDBFF]/.test(value.charAt(to - 1))) to += 1;
    pieces.push(value.slice(from, to));
    from = to;
  }
  return pieces;
}
