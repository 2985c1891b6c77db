import type {
  ContentBlockParam,
  ServerToolUseBlockParam,
} from '@anthropic-ai/sdk/resources/messages/messages';

/** A block that a tool run by the provider left in an answer. Its other fields are the provider's own business. */
export type ServerToolBlock =
  ServerToolUseBlockParam | Extract<ContentBlockParam, { type: `${string}_tool_result` }>;

/** True for blocks of the provider's tools, the only ones of their kind that may be sent back. */
export function isServerTool(block: object): block is ServerToolBlock {
  const type = 'type' in block ? block.type : undefined;
  if (typeof type !== 'string' || type === 'tool_result') return false;
  return type === 'server_tool_use' ? 'id' in block : type.endsWith('_tool_result') && 'tool_use_id' in block;
}

/**
 * Leaves out the provider's tool calls that lack their result and results that lack their call, as a cut answer has
 * them. An answer that may have paused keeps calls that wait for their result.
 */
export function settleServerTools(
  content: readonly ContentBlockParam[],
  { mayPause }: { mayPause: boolean },
): ContentBlockParam[] {
  const called = new Set<string>();
  const answered = new Set<string>();
  for (const block of content) {
    if (!isServerTool(block)) continue;
    if (block.type === 'server_tool_use') called.add(block.id);
    else answered.add(block.tool_use_id);
  }
  return content.filter((block) => {
    if (!isServerTool(block)) return true;
    if (block.type === 'server_tool_use') return mayPause || answered.has(block.id);
    return called.has(block.tool_use_id);
  });
}
