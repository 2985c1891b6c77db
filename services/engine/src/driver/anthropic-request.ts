import type {
  CacheControlEphemeral,
  MessageCreateParamsStreaming,
  ToolUnion,
} from '@anthropic-ai/sdk/resources/messages/messages';
import { DriverError } from './driver.ts';
import type { ModelRequest, ToolDefinition } from './driver.ts';
import { toAnthropicMessages } from './history.ts';
import type { SendableMessage } from './history.ts';

const CACHE: { cache_control: CacheControlEphemeral } = { cache_control: { type: 'ephemeral' } };

/**
 * The body of a request. Everything up to four points is cached: the tools, the system prompt and the user's last two
 * messages. The last one is what the next request reads; the one before is what this request reads, however many blocks
 * came in between (a cache point by itself looks back over 20).
 */
export function toAnthropicRequest(request: ModelRequest): MessageCreateParamsStreaming {
  const messages = toAnthropicMessages(request.history, request.model);
  if (messages.length === 0) {
    throw new DriverError('MODEL_BAD_REQUEST', 'there is no message that could be sent to the model', {
      retryable: false,
    });
  }
  return {
    model: request.model,
    max_tokens: request.maxOutputTokens,
    stream: true,
    messages: withCachePoints(messages),
    ...(request.system.trim() !== '' && { system: [{ type: 'text', text: request.system, ...CACHE }] }),
    ...(request.tools.length > 0 && {
      tools: request.tools.map((tool, index) => toTool(tool, index === request.tools.length - 1)),
    }),
  };
}

function toTool(tool: ToolDefinition, isLast: boolean): ToolUnion {
  const cache = isLast ? CACHE : {};
  if (tool.kind === 'anthropic') return { type: tool.type, name: tool.name, ...cache };
  return { name: tool.name, description: tool.description, input_schema: tool.inputSchema, ...cache };
}

function withCachePoints(messages: readonly SendableMessage[]): SendableMessage[] {
  const last = messages.findLastIndex(({ role }) => role === 'user');
  const before = messages.findLastIndex(({ role }, index) => role === 'user' && index < last);
  return messages.map((message, index) =>
    index === last || index === before ? withCachePoint(message) : message,
  );
}

function withCachePoint({ role, content }: SendableMessage): SendableMessage {
  // A user's message has no thinking in it, the one kind of block that cannot be a cache point.
  return {
    role,
    content: content.map((block, index) => (index === content.length - 1 ? { ...block, ...CACHE } : block)),
  };
}
