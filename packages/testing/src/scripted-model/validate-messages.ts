import {
  asRecord,
  blockProblem,
  describeExtraField,
  isServerToolBlock,
  textProblem,
} from './validate-blocks.ts';

/** The text of each thinking block that was sent, by its signature. */
export type KnownSignatures = ReadonlyMap<string, string>;

interface Turn {
  index: number;
  role: 'user' | 'assistant' | 'system';
  /** Content given as a string is one text block here. */
  blocks: Record<string, unknown>[];
}

/**
 * Why a history could not be sent, or undefined where it could: the `messages` of a request, not empty.
 *
 * Stricter than the API in one point: it merges consecutive user messages, so that results may be spread over them;
 * here all results of an assistant message are in the one user message that follows it.
 */
export function messagesProblem(
  messages: readonly unknown[],
  signatures: KnownSignatures = new Map(),
): string | undefined {
  const turns: Turn[] = [];
  for (const [index, message] of messages.entries()) {
    const turn = readTurn(message, index);
    if (typeof turn === 'string') return turn;
    turns.push(turn);
  }
  return (
    orderProblem(turns) ??
    toolUseIdProblem(turns) ??
    toolPairingProblem(turns) ??
    modifiedThinkingProblem(turns, signatures) ??
    prefillProblem(turns)
  );
}

function readTurn(value: unknown, index: number): Turn | string {
  const where = `messages.${String(index)}`;
  const message = asRecord(value);
  if (!message) return `${where}: Input should be a valid dictionary`;
  const { role, content } = message;
  if (role === undefined) return `${where}.role: Field required`;
  if (role !== 'user' && role !== 'assistant' && role !== 'system') {
    return `${where}.role: Input should be 'user', 'assistant' or 'system'`;
  }
  if (content === undefined) return `${where}.content: Field required`;
  const extra = describeExtraField(message, ['role', 'content'], `${where}.`);
  if (extra) return extra;
  if (typeof content !== 'string' && !Array.isArray(content)) {
    return `${where}.content: Input should be a valid array`;
  }
  if (content.length === 0) {
    return `${where}: all messages must have non-empty content except for the optional final assistant message`;
  }
  const items: readonly unknown[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content;
  const blocks: Record<string, unknown>[] = [];
  for (const [position, item] of items.entries()) {
    const at = `${where}.content.${String(position)}`;
    const block = asRecord(item);
    if (!block) return `${at}: Input should be a valid dictionary`;
    const problem = role === 'system' ? systemBlockProblem(block, at) : blockProblem(block, role, at);
    if (problem) return problem;
    blocks.push(block);
  }
  return { index, role, blocks };
}

function systemBlockProblem(block: Record<string, unknown>, where: string): string | undefined {
  return block['type'] === 'text'
    ? textProblem(block, where, 'messages')
    : `${where}.type: Input should be 'text'`;
}

function orderProblem(turns: readonly Turn[]): string | undefined {
  if (turns[0]?.role !== 'user') return 'messages: first message must use the "user" role';
  for (const turn of turns) {
    if (turn.role !== 'system') continue;
    const previous = turns[turn.index - 1];
    const next = turns[turn.index + 1];
    const afterUser = previous?.role === 'user' || isServerToolBlock(previous?.blocks.at(-1)?.['type']);
    if (!afterUser || (next && next.role !== 'assistant')) {
      return (
        `messages.${String(turn.index)}: a \`system\` message must follow a \`user\` message ` +
        'and be followed by an `assistant` message or end the conversation'
      );
    }
  }
  return undefined;
}

function toolUseIdProblem(turns: readonly Turn[]): string | undefined {
  const seen = new Set<unknown>();
  for (const turn of turns) {
    for (const [position, block] of turn.blocks.entries()) {
      if (block['type'] !== 'tool_use') continue;
      if (seen.has(block['id'])) {
        return `messages.${String(turn.index)}.content.${String(position)}: \`tool_use\` ids must be unique`;
      }
      seen.add(block['id']);
    }
  }
  return undefined;
}

function toolPairingProblem(turns: readonly Turn[]): string | undefined {
  for (const [index, turn] of turns.entries()) {
    const problem =
      resultsProblem(turn, idsOf(turns[index - 1], 'tool_use', 'id')) ??
      missingResultProblem(turn, turns[index + 1]);
    if (problem) return problem;
  }
  return undefined;
}

/** Every tool_result of a turn answers a call of the turn before it, once. */
function resultsProblem(turn: Turn, called: readonly string[]): string | undefined {
  const answered = new Set<string>();
  for (const [position, block] of turn.blocks.entries()) {
    if (block['type'] !== 'tool_result') continue;
    const id = String(block['tool_use_id']);
    const where = `messages.${String(turn.index)}.content.${String(position)}`;
    if (!called.includes(id)) {
      return (
        `${where}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}. ` +
        'Each `tool_result` block must have a corresponding `tool_use` block in the previous message.'
      );
    }
    if (answered.has(id)) {
      return `${where}: each tool_use must have a single result. Found multiple \`tool_result\` blocks with id: ${id}`;
    }
    answered.add(id);
  }
  return undefined;
}

/** Every call is answered by the results that the next turn begins with: whatever comes before a result hides it. */
function missingResultProblem(turn: Turn, next: Turn | undefined): string | undefined {
  const called = idsOf(turn, 'tool_use', 'id');
  if (called.length === 0) return undefined;
  const blocks = next?.blocks ?? [];
  const firstOther = blocks.findIndex((block) => block['type'] !== 'tool_result');
  const leading = firstOther === -1 ? blocks : blocks.slice(0, firstOther);
  const answered = leading.map((block) => block['tool_use_id']);
  const missing = called.filter((id) => !answered.includes(id));
  if (missing.length === 0) return undefined;
  return (
    `messages.${String(turn.index)}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ` +
    `${missing.join(', ')}. Each \`tool_use\` block must have a corresponding \`tool_result\` block in the next message.`
  );
}

function modifiedThinkingProblem(turns: readonly Turn[], signatures: KnownSignatures): string | undefined {
  for (const turn of turns) {
    for (const [position, block] of turn.blocks.entries()) {
      if (block['type'] !== 'thinking') continue;
      const sent = signatures.get(String(block['signature']));
      if (sent !== undefined && sent !== block['thinking']) {
        return (
          `messages.${String(turn.index)}.content.${String(position)}: \`thinking\` or \`redacted_thinking\` blocks ` +
          'cannot be modified. These blocks must remain as they were in the original response.'
        );
      }
    }
  }
  return undefined;
}

function prefillProblem(turns: readonly Turn[]): string | undefined {
  const last = turns.at(-1);
  // An answer that paused in a server tool is sent back as it is.
  if (last?.role !== 'assistant' || last.blocks.some((block) => isServerToolBlock(block['type'])))
    return undefined;
  return 'This model does not support assistant message prefill. The conversation must end with a user message.';
}

function idsOf(turn: Turn | undefined, type: string, field: string): string[] {
  return (turn?.blocks ?? []).filter((block) => block['type'] === type).map((block) => String(block[field]));
}
