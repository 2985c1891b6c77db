import type { ContentBlockParam, ToolResultBlockParam } from '@anthropic-ai/sdk/resources/messages/messages';
import type {
  AssistantMessage,
  Message,
  SummaryMessage,
  ToolResultMessage,
  ToolUsePart,
  UserMessage,
} from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { parseObject, thinkingBlock, userBlock } from './history-blocks.ts';
import { isServerTool, settleServerTools } from './server-tools.ts';

/** A message as the Messages API takes it, its content always as blocks. */
export interface SendableMessage {
  role: 'user' | 'assistant';
  content: ContentBlockParam[];
}

interface PlacedResult {
  index: number;
  result: ToolResultMessage;
}

/**
 * The part of a history that can be sent to `model`, in the shape of the Messages API. Empty where nothing can be.
 *
 * - The latest summary stands for everything up to its through_position. Errors are never sent.
 * - Blank text, unsigned thinking and calls whose arguments are not a whole JSON object are left out. What such a call's
 *   result says is sent as text, so that the model learns what went wrong.
 * - Thinking is sent byte for byte to the model that made it and left out for any other.
 * - The results of an answer's calls come right after it, in the order of the calls, before anything that the user said.
 *   A call without a result gets one that says that it never ran.
 * - Neighbours of the same role become one message; the first and the last are the user's, unless a tool of the
 *   provider's has paused.
 *
 * @param history oldest first
 */
export function toAnthropicMessages(history: readonly Message[], model: string): SendableMessage[] {
  const summary = latestSummary(history);
  const results = indexResults(history);
  const nameCall = createCallNames();
  const entries: SendableMessage[] = [];
  if (summary) entries.push(said(`Summary of the conversation so far:\n\n${summary.text}`));
  for (const [index, { body, position }] of history.entries()) {
    if (summary && position <= summary.throughPosition) continue;
    if (body.case === 'user') {
      entries.push({ role: 'user', content: userContent(body.value) });
    } else if (body.case === 'assistant') {
      const findResult = (id: string) => results.get(id)?.find((placed) => placed.index > index)?.result;
      entries.push(...answerEntries(body.value, model, findResult, nameCall));
    }
  }
  return frame(settle(merge(entries)));
}

function latestSummary(history: readonly Message[]): SummaryMessage | undefined {
  const message = history.findLast(({ body }) => body.case === 'summary');
  return message?.body.case === 'summary' ? message.body.value : undefined;
}

function indexResults(history: readonly Message[]): Map<string, PlacedResult[]> {
  const results = new Map<string, PlacedResult[]>();
  for (const [index, { body }] of history.entries()) {
    if (body.case !== 'toolResult') continue;
    const placed = { index, result: body.value };
    const known = results.get(body.value.toolCallId);
    if (known) known.push(placed);
    else results.set(body.value.toolCallId, [placed]);
  }
  return results;
}

/** Ids as the API takes them: of its alphabet and unique, which other providers do not promise. */
function createCallNames(): (id: string) => string {
  const used = new Set<string>();
  return (id) => {
    const base = id.replaceAll(/[^a-zA-Z0-9_-]/g, '_') || 'call';
    let name = base;
    for (let n = 2; used.has(name); n += 1) name = `${base}-${n}`;
    used.add(name);
    return name;
  };
}

/** An answer and what its calls led to. */
function answerEntries(
  answer: AssistantMessage,
  model: string,
  findResult: (toolCallId: string) => ToolResultMessage | undefined,
  nameCall: (id: string) => string,
): SendableMessage[] {
  const keepThinking = isSameModel(answer.model, model);
  const content: ContentBlockParam[] = [];
  const results: ContentBlockParam[] = [];
  const remarks: ContentBlockParam[] = [];
  for (const { part } of answer.content) {
    if (part.case === 'text') {
      if (!isBlank(part.value.text)) content.push({ type: 'text', text: part.value.text });
    } else if (part.case === 'thinking') {
      const block = keepThinking ? thinkingBlock(part.value) : undefined;
      if (block) content.push(block);
    } else if (part.case === 'serverTool') {
      const block = parseObject(part.value.blockJson);
      if (block && isServerTool(block)) content.push(block);
    } else if (part.case === 'toolUse') {
      const { toolCallId, name } = part.value;
      const result = findResult(toolCallId);
      const input = readInput(part.value, result);
      if (input && name !== '') {
        const id = nameCall(toolCallId);
        content.push({ type: 'tool_use', id, name, input });
        results.push(resultBlock(id, result));
      } else if (result && !isBlank(result.content)) {
        remarks.push({
          type: 'text',
          text: `The call of the tool "${name}" was not readable: ${result.content}`,
        });
      }
    }
  }
  return [
    { role: 'assistant', content },
    { role: 'user', content: [...results, ...remarks] },
  ];
}

/** A call without any arguments counts as whole only where it has a result: otherwise it was cut before the first. */
function readInput({ inputJson }: ToolUsePart, result: ToolResultMessage | undefined): object | undefined {
  return isBlank(inputJson) && result ? {} : parseObject(inputJson);
}

function resultBlock(id: string, result: ToolResultMessage | undefined): ToolResultBlockParam {
  if (!result) {
    const content = 'This call never ran: the turn was stopped before it started.';
    return { type: 'tool_result', tool_use_id: id, content, is_error: true };
  }
  const content = isBlank(result.content) ? '(no output)' : result.content;
  return { type: 'tool_result', tool_use_id: id, content, ...(result.isError && { is_error: true }) };
}

function userContent(message: UserMessage): ContentBlockParam[] {
  return message.content.flatMap((part) => userBlock(part) ?? []);
}

/** A model that was asked for by an alias answers with its dated name. */
function isSameModel(left: string, right: string): boolean {
  return undated(left) === undated(right);
}

function undated(model: string): string {
  return model.replace(/-(?:\d{8}|latest)$/, '');
}

function merge(entries: readonly SendableMessage[]): SendableMessage[] {
  const merged: SendableMessage[] = [];
  for (const { role, content } of entries) {
    if (content.length === 0) continue;
    const last = merged.at(-1);
    if (last?.role === role) last.content.push(...content);
    else merged.push({ role, content: [...content] });
  }
  return merged;
}

/** Leaves out of the answers what cannot stand in its place. */
function settle(entries: readonly SendableMessage[]): SendableMessage[] {
  const settled = entries.map(({ role, content }, index): SendableMessage => {
    if (role === 'user') return { role, content };
    const mayPause = index === entries.length - 1 && endsInServerTool(content);
    const kept = settleServerTools(content, { mayPause });
    // An answer that was cut after its thinking: the API takes no answer that ends with it.
    const end = kept.findLastIndex(({ type }) => type !== 'thinking' && type !== 'redacted_thinking');
    return { role, content: kept.slice(0, end + 1) };
  });
  return merge(settled);
}

function frame(entries: SendableMessage[]): SendableMessage[] {
  const first = entries.at(0);
  const last = entries.at(-1);
  if (!first || !last) return [];
  return [
    ...(first.role === 'assistant' ? [said('(The conversation begins with an answer.)')] : []),
    ...entries,
    ...(last.role === 'assistant' && !endsInServerTool(last.content) ? [said('Continue.')] : []),
  ];
}

function endsInServerTool(content: readonly ContentBlockParam[]): boolean {
  const last = content.at(-1);
  return last !== undefined && isServerTool(last);
}

function said(text: string): SendableMessage {
  return { role: 'user', content: [{ type: 'text', text }] };
}

function isBlank(text: string): boolean {
  return text.trim() === '';
}
