import type {
  CacheCreation,
  Message,
  OutputTokensDetails,
  RawMessageStreamEvent,
  ServerToolUsage,
  StopReason,
  Usage,
} from '@anthropic-ai/sdk/resources/messages/messages';
import type { Block } from './blocks.ts';
import type { ReplyContext, ReplyOptions, Step } from './replies.ts';
import { encodeEvent, estimateTokens, PING } from './wire.ts';

/** Token counts of an answer; `cache_creation_input_tokens` defaults to the sum of `cache_creation`. */
export interface ScriptedUsage {
  input_tokens?: number;
  output_tokens?: number;
  output_tokens_details?: OutputTokensDetails;
  cache_read_input_tokens?: number;
  cache_creation_input_tokens?: number;
  cache_creation?: Partial<CacheCreation>;
  server_tool_use?: Partial<ServerToolUsage>;
  service_tier?: Usage['service_tier'];
  speed?: Usage['speed'];
  inference_geo?: string;
}

/** The whole message, as an answer that is not streamed carries it. */
export function buildMessage(options: ReplyOptions, context: ReplyContext): Message {
  return {
    ...emptyMessage(options, context),
    content: options.content.map((block) => block.final),
    ...ending(options),
  };
}

/** The events of a message, in the order in which the API sends them. */
export function messageSteps(options: ReplyOptions, context: ReplyContext): Step[] {
  const message = emptyMessage(options, context);
  const { usage } = message;
  const steps = [
    event({ type: 'message_start', message: { ...message, usage: { ...usage, output_tokens: 1 } } }),
  ];
  options.content.forEach((block, index) => {
    steps.push(...blockSteps(block, index));
  });
  steps.push(
    event({
      type: 'message_delta',
      delta: { container: null, ...ending(options) },
      usage: {
        input_tokens: usage.input_tokens,
        cache_creation_input_tokens: usage.cache_creation_input_tokens,
        cache_read_input_tokens: usage.cache_read_input_tokens,
        output_tokens: usage.output_tokens,
        output_tokens_details: usage.output_tokens_details,
        server_tool_use: usage.server_tool_use,
      },
    }),
    event({ type: 'message_stop' }),
  );
  return steps;
}

function blockSteps(block: Block, index: number): Step[] {
  const steps = [event({ type: 'content_block_start', index, content_block: block.start })];
  if (index === 0) steps.push({ kind: 'event', bytes: PING });
  for (const delta of block.deltas) {
    if (block.delayMs > 0) steps.push({ kind: 'delay', ms: block.delayMs });
    steps.push(event({ type: 'content_block_delta', index, delta }));
  }
  steps.push(event({ type: 'content_block_stop', index }));
  return steps;
}

function event(content: RawMessageStreamEvent): Step {
  return { kind: 'event', bytes: encodeEvent(content) };
}

/** The message before its first token: what message_start shows. */
function emptyMessage(options: ReplyOptions, context: ReplyContext): Message {
  return {
    id: context.messageId,
    type: 'message',
    role: 'assistant',
    model: options.model ?? context.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
    stop_details: null,
    container: null,
    diagnostics: null,
    usage: buildUsage(options, context),
  };
}

function ending(options: ReplyOptions): Pick<Message, 'stop_reason' | 'stop_sequence' | 'stop_details'> {
  return {
    stop_reason: options.stopReason ?? defaultStopReason(options.content),
    stop_sequence: options.stopSequence ?? null,
    stop_details: options.stopDetails ?? null,
  };
}

function defaultStopReason(content: readonly Block[]): StopReason {
  return content.some((block) => block.final.type === 'tool_use') ? 'tool_use' : 'end_turn';
}

function buildUsage({ usage = {}, content }: ReplyOptions, context: ReplyContext): Usage {
  const cacheCreation: CacheCreation = {
    ephemeral_5m_input_tokens: usage.cache_creation?.ephemeral_5m_input_tokens ?? 0,
    ephemeral_1h_input_tokens: usage.cache_creation?.ephemeral_1h_input_tokens ?? 0,
  };
  return {
    input_tokens: usage.input_tokens ?? context.inputTokens,
    output_tokens: usage.output_tokens ?? estimateTokens(JSON.stringify(content.map((block) => block.final))),
    output_tokens_details: usage.output_tokens_details ?? null,
    cache_read_input_tokens: usage.cache_read_input_tokens ?? 0,
    cache_creation_input_tokens:
      usage.cache_creation_input_tokens ??
      cacheCreation.ephemeral_5m_input_tokens + cacheCreation.ephemeral_1h_input_tokens,
    cache_creation: cacheCreation,
    server_tool_use: usage.server_tool_use
      ? { web_search_requests: 0, web_fetch_requests: 0, ...usage.server_tool_use }
      : null,
    service_tier: usage.service_tier ?? 'standard',
    speed: usage.speed ?? 'standard',
    inference_geo: usage.inference_geo ?? 'not_available',
  };
}
