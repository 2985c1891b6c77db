import { StopReasonSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';

/**
 * OpenTelemetry's names for work with models. They are still in development upstream, so they stand here and nowhere else.
 * Names for content (messages, instructions, arguments and results of tools) are left out on purpose.
 */
export const genAi = {
  operation: 'gen_ai.operation.name',
  provider: 'gen_ai.provider.name',
  agentId: 'gen_ai.agent.id',
  conversationId: 'gen_ai.conversation.id',
  requestModel: 'gen_ai.request.model',
  requestMaxTokens: 'gen_ai.request.max_tokens',
  responseModel: 'gen_ai.response.model',
  finishReasons: 'gen_ai.response.finish_reasons',
  inputTokens: 'gen_ai.usage.input_tokens',
  outputTokens: 'gen_ai.usage.output_tokens',
  cacheReadTokens: 'gen_ai.usage.cache_read.input_tokens',
  cacheWriteTokens: 'gen_ai.usage.cache_creation.input_tokens',
  toolName: 'gen_ai.tool.name',
  toolCallId: 'gen_ai.tool.call.id',
  toolType: 'gen_ai.tool.type',
} as const;

/** Values of `gen_ai.operation.name`; each begins the name of its spans. */
export const operation = { turn: 'invoke_agent', modelCall: 'chat', toolRun: 'execute_tool' } as const;

/** `end_turn`, `tool_use` … */
export function stopReasonName(reason: StopReason): string {
  return StopReasonSchema.value[reason]?.localName.toLowerCase() ?? 'other';
}
