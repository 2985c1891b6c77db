type Json = Record<string, unknown>;

/** Blocks by the role that may send them; server tools' results (`…_tool_result`) belong to the assistant. */
const USER_BLOCKS = new Set([
  'text',
  'image',
  'document',
  'search_result',
  'tool_result',
  'container_upload',
]);
const ASSISTANT_BLOCKS = new Set(['text', 'thinking', 'redacted_thinking', 'tool_use', 'server_tool_use']);

const FIELDS: Readonly<Record<string, readonly string[]>> = {
  text: ['type', 'text', 'cache_control', 'citations'],
  image: ['type', 'source', 'cache_control', 'transformations'],
  document: ['type', 'source', 'cache_control', 'citations', 'context', 'title'],
  thinking: ['type', 'thinking', 'signature'],
  redacted_thinking: ['type', 'data'],
  tool_use: ['type', 'id', 'name', 'input', 'cache_control', 'caller', 'toolset_name'],
  tool_result: ['type', 'tool_use_id', 'content', 'is_error', 'cache_control', 'toolset_name'],
};

const IMAGE_TYPES = ['image/jpeg', 'image/png', 'image/gif', 'image/webp'];
const ID_PATTERN = /^[a-zA-Z0-9_-]+$/;

export function asRecord(value: unknown): Json | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
}

/** `where` ends in a dot, or is empty at the top level. */
export function describeExtraField(
  value: Json,
  allowed: readonly string[],
  where: string,
): string | undefined {
  const extra = Object.keys(value).find((name) => !allowed.includes(name));
  return extra === undefined ? undefined : `${where}${extra}: Extra inputs are not permitted`;
}

/** True for a block that a server tool left in an assistant message. */
export function isServerToolBlock(type: unknown): boolean {
  return typeof type === 'string' && (type === 'server_tool_use' || type.endsWith('_tool_result'));
}

/** Checks one block by itself; how blocks and messages follow each other is checked in validate-messages.ts. */
export function blockProblem(block: Json, role: 'user' | 'assistant', where: string): string | undefined {
  const { type } = block;
  if (type === undefined) return `${where}.type: Field required`;
  if (typeof type !== 'string') return `${where}.type: Input should be a valid string`;
  const allowed =
    role === 'user' ? USER_BLOCKS.has(type) : ASSISTANT_BLOCKS.has(type) || isServerToolBlock(type);
  if (role === 'assistant' && type === 'tool_result') return wrongRole(where, type, 'user');
  if (!allowed) {
    if (USER_BLOCKS.has(type)) return wrongRole(where, type, 'user');
    if (ASSISTANT_BLOCKS.has(type) || isServerToolBlock(type)) return wrongRole(where, type, 'assistant');
    const tags = [...new Set([...ASSISTANT_BLOCKS, ...USER_BLOCKS])].map((tag) => `'${tag}'`).join(', ');
    return `${where}: Input tag '${type}' found using 'type' does not match any of the expected tags: ${tags}`;
  }
  switch (type) {
    case 'text':
      return textProblem(block, where, 'messages') ?? citationsProblem(block, role, where);
    case 'thinking':
      return thinkingProblem(block, where);
    case 'redacted_thinking':
      return extra(block, where) ?? stringProblem(block, 'data', where);
    case 'tool_use':
      return toolUseProblem(block, where);
    case 'tool_result':
      return toolResultProblem(block, where);
    case 'image':
      return imageProblem(block, where);
    default:
      return extra(block, where);
  }
}

/** Checks a text block. `owner` is what the API's message names: `messages` or `system`. */
export function textProblem(block: Json, where: string, owner: 'messages' | 'system'): string | undefined {
  const { text } = block;
  if (text === undefined) return `${where}.text.text: Field required`;
  if (typeof text !== 'string') return `${where}.text.text: Input should be a valid string`;
  if (text === '') {
    return asRecord(block['cache_control'])
      ? `${where}.text: cache_control cannot be set for empty text blocks`
      : `${owner}: text content blocks must be non-empty`;
  }
  if (text.trim() === '') return `${owner}: text content blocks must contain non-whitespace text`;
  return extra(block, where);
}

function citationsProblem(block: Json, role: 'user' | 'assistant', where: string): string | undefined {
  const { citations } = block;
  return role === 'user' && Array.isArray(citations) && citations.length > 0
    ? `${where}.text.citations: citations are not permitted on \`text\` blocks in \`user\` messages`
    : undefined;
}

function thinkingProblem(block: Json, where: string): string | undefined {
  const { thinking, signature } = block;
  if (thinking === undefined) return `${where}.thinking.thinking: Field required`;
  if (typeof thinking !== 'string') return `${where}.thinking.thinking: Input should be a valid string`;
  if (signature === undefined) return `${where}.thinking.signature: Field required`;
  if (typeof signature !== 'string') return `${where}.thinking.signature: Input should be a valid string`;
  if (signature === '') return `${where}: Invalid \`signature\` in \`thinking\` block`;
  return extra(block, where);
}

function toolUseProblem(block: Json, where: string): string | undefined {
  const { id, input } = block;
  if (id === undefined) return `${where}.tool_use.id: Field required`;
  if (typeof id !== 'string' || !ID_PATTERN.test(id)) {
    return `${where}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'`;
  }
  if (input === undefined) return `${where}.tool_use.input: Field required`;
  if (!asRecord(input)) return `${where}.tool_use.input: Input should be a valid dictionary`;
  return stringProblem(block, 'name', where) ?? extra(block, where);
}

function toolResultProblem(block: Json, where: string): string | undefined {
  const { content, is_error: isError } = block;
  const problem = stringProblem(block, 'tool_use_id', where) ?? extra(block, where);
  if (problem) return problem;
  if (isError !== undefined && typeof isError !== 'boolean') {
    return `${where}.tool_result.is_error: Input should be a valid boolean`;
  }
  const empty = content === undefined || content === '' || (Array.isArray(content) && content.length === 0);
  if (empty) {
    return isError ? `${where}.tool_result: content cannot be empty if \`is_error\` is true` : undefined;
  }
  if (typeof content === 'string') return undefined;
  if (!Array.isArray(content)) return `${where}.tool_result.content: Input should be a valid array`;
  for (const [index, item] of content.entries()) {
    const inner = asRecord(item);
    const at = `${where}.tool_result.content.${String(index)}`;
    if (!inner) return `${at}: Input should be a valid dictionary`;
    if (inner['type'] === 'tool_result') return wrongRole(at, 'tool_result', 'user');
    if (inner['type'] === 'tool_reference' || inner['type'] === 'browser_state') continue;
    const found = blockProblem(inner, 'user', at);
    if (found) return found;
  }
  return undefined;
}

function imageProblem(block: Json, where: string): string | undefined {
  const source = asRecord(block['source']);
  if (!source) return `${where}.image.source: Field required`;
  if (source['type'] === 'base64') {
    if (!IMAGE_TYPES.includes(String(source['media_type']))) {
      return `${where}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'`;
    }
    if (typeof source['data'] !== 'string' || source['data'] === '') {
      return `${where}.image.source.base64.data: Field required`;
    }
  }
  return extra(block, where);
}

function stringProblem(block: Json, field: string, where: string): string | undefined {
  const value = block[field];
  const at = `${where}.${String(block['type'])}.${field}`;
  if (value === undefined) return `${at}: Field required`;
  if (typeof value !== 'string') return `${at}: Input should be a valid string`;
  return value === '' ? `${at}: String should have at least 1 character` : undefined;
}

function extra(block: Json, where: string): string | undefined {
  const type = String(block['type']);
  const allowed = FIELDS[type];
  return allowed && describeExtraField(block, allowed, `${where}.${type}.`);
}

function wrongRole(where: string, type: string, role: 'user' | 'assistant'): string {
  return `${where}: \`${type}\` blocks can only be in \`${role}\` messages`;
}
