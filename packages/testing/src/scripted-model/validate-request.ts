import { asRecord, describeExtraField, textProblem } from './validate-blocks.ts';
import { messagesProblem } from './validate-messages.ts';
import type { KnownSignatures } from './validate-messages.ts';
import type { ApiVersion } from './wire.ts';

export interface ValidateOptions {
  /** Default: the newest version. */
  version?: ApiVersion;
  /** True where an `anthropic-beta` header was sent: then the fields of betas are let through. */
  beta?: boolean;
  /** `/v1/messages/count_tokens`: no max_tokens, no stream. */
  countTokens?: boolean;
  /** The text of each thinking block by its signature, to see that it comes back unmodified. */
  signatures?: KnownSignatures;
}

const COMMON_FIELDS = [
  'messages',
  'model',
  'cache_control',
  'output_config',
  'speed',
  'system',
  'thinking',
  'tool_choice',
  'tools',
];
const CREATE_FIELDS = [
  'max_tokens',
  'container',
  'diagnostics',
  'inference_geo',
  'metadata',
  'service_tier',
  'stop_sequences',
  'stream',
];
/** Removed in version 2026-10-21. */
const SAMPLING_FIELDS = ['temperature', 'top_k', 'top_p'];
const BETA_FIELDS = ['context_management', 'fallbacks', 'mcp_servers', 'thread'];

const MAX_CACHE_BREAKPOINTS = 4;

/** Names that Anthropic-defined tools must carry, by the prefix of their type. */
const TYPED_TOOL_NAMES: readonly (readonly [string, string])[] = [
  ['bash_2', 'bash'],
  ['text_editor_20250124', 'str_replace_editor'],
  ['text_editor_2', 'str_replace_based_edit_tool'],
  ['memory_2', 'memory'],
  ['web_search_2', 'web_search'],
  ['web_fetch_2', 'web_fetch'],
  ['code_execution_2', 'code_execution'],
];

/**
 * Why the API would answer 400 (`invalid_request_error`) to this body, or undefined where it would not. It covers what
 * a client that builds histories can get wrong, not everything: tool input schemas and media are taken as they are.
 */
export function validateRequest(body: unknown, options: ValidateOptions = {}): string | undefined {
  const request = asRecord(body);
  if (!request) return 'Input should be a valid dictionary or object to extract fields from';
  return (
    extraFieldProblem(request, options) ??
    requiredFieldProblem(request, options) ??
    systemProblem(request['system']) ??
    toolsProblem(request) ??
    thinkingProblem(request) ??
    messagesProblem(request['messages'] as unknown[], options.signatures) ??
    cacheControlProblem(request)
  );
}

function extraFieldProblem(request: Record<string, unknown>, options: ValidateOptions): string | undefined {
  const allowed = [
    ...COMMON_FIELDS,
    ...(options.countTokens ? [] : CREATE_FIELDS),
    ...(options.version === '2023-06-01' && !options.countTokens ? SAMPLING_FIELDS : []),
    ...(options.beta ? BETA_FIELDS : []),
  ];
  return describeExtraField(request, allowed, '');
}

function requiredFieldProblem(
  request: Record<string, unknown>,
  options: ValidateOptions,
): string | undefined {
  const { model, messages, max_tokens: maxTokens, stream } = request;
  if (model === undefined) return 'model: Field required';
  if (typeof model !== 'string') return 'model: Input should be a valid string';
  if (model === '') return 'model: String should have at least 1 character';
  if (!options.countTokens) {
    if (maxTokens === undefined) return 'max_tokens: Field required';
    if (!Number.isInteger(maxTokens)) return 'max_tokens: Input should be a valid integer';
    if ((maxTokens as number) < 0) return 'max_tokens: Input should be greater than or equal to 0';
    if (stream !== undefined && typeof stream !== 'boolean') return 'stream: Input should be a valid boolean';
  }
  if (messages === undefined) return 'messages: Field required';
  if (!Array.isArray(messages)) return 'messages: Input should be a valid array';
  if (messages.length === 0) return 'messages: at least one message is required';
  return undefined;
}

function systemProblem(system: unknown): string | undefined {
  if (system === undefined || typeof system === 'string') return undefined;
  if (!Array.isArray(system)) return 'system: Input should be a valid array';
  for (const [index, item] of system.entries()) {
    const block = asRecord(item);
    const where = `system.${String(index)}`;
    if (block?.['type'] !== 'text') return `${where}.type: Input should be 'text'`;
    const problem = textProblem(block, where, 'system');
    if (problem) return problem;
  }
  return undefined;
}

function toolsProblem(request: Record<string, unknown>): string | undefined {
  const { tools, tool_choice: choice } = request;
  if (tools === undefined) {
    return choice === undefined ? undefined : 'tool_choice: may only be specified while providing tools';
  }
  if (!Array.isArray(tools)) return 'tools: Input should be a valid array';
  const names = new Set<unknown>();
  for (const [index, item] of tools.entries()) {
    const tool = asRecord(item);
    if (!tool) return `tools.${String(index)}: Input should be a valid dictionary`;
    const problem = toolProblem(tool, `tools.${String(index)}`);
    if (problem) return problem;
    if (tool['name'] === undefined) continue;
    if (names.has(tool['name'])) return 'tools: Tool names must be unique.';
    names.add(tool['name']);
  }
  const chosen = asRecord(choice);
  if (chosen?.['type'] === 'tool' && !names.has(chosen['name'])) {
    return `tool_choice: Tool '${String(chosen['name'])}' not found in provided tools`;
  }
  return undefined;
}

function toolProblem(tool: Record<string, unknown>, where: string): string | undefined {
  const { type, name } = tool;
  if (typeof type === 'string' && type !== 'custom') {
    const expected = TYPED_TOOL_NAMES.find(([prefix]) => type.startsWith(prefix))?.[1];
    return expected === undefined || name === expected
      ? undefined
      : `${where}.${type}.name: Input should be '${expected}'`;
  }
  if (name === undefined) return `${where}.custom.name: Field required`;
  if (typeof name !== 'string' || !/^[a-zA-Z0-9_-]{1,128}$/.test(name)) {
    return `${where}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'`;
  }
  const schema = asRecord(tool['input_schema']);
  if (!schema) return `${where}.custom.input_schema: Field required`;
  if (schema['type'] !== 'object') return `${where}.custom.input_schema.type: Input should be 'object'`;
  return undefined;
}

function thinkingProblem(request: Record<string, unknown>): string | undefined {
  const config = asRecord(request['thinking']);
  if (config?.['type'] !== 'enabled') return undefined;
  const budget = config['budget_tokens'];
  if (budget === undefined) return 'thinking.enabled.budget_tokens: Field required';
  if (typeof budget !== 'number' || budget < 1024) {
    return 'thinking.enabled.budget_tokens: Input should be greater than or equal to 1024';
  }
  const maxTokens = request['max_tokens'];
  if (typeof maxTokens === 'number' && maxTokens <= budget) {
    return '`max_tokens` must be greater than `thinking.budget_tokens`.';
  }
  return undefined;
}

/** Breakpoints in the order in which the prompt is processed: tools, system, messages. */
function cacheControlProblem(request: Record<string, unknown>): string | undefined {
  const found: { where: string; ttl: unknown }[] = [];
  const collect = (value: unknown, where: string): void => {
    if (Array.isArray(value)) {
      value.forEach((item, index) => {
        collect(item, `${where}.${String(index)}`);
      });
      return;
    }
    const item = asRecord(value);
    if (!item) return;
    const control = asRecord(item['cache_control']);
    if (control) found.push({ where: `${where}.cache_control`, ttl: control['ttl'] ?? '5m' });
    collect(item['content'], `${where}.content`);
  };
  collect(request['tools'], 'tools');
  collect(request['system'], 'system');
  collect(request['messages'], 'messages');
  const total = found.length + (asRecord(request['cache_control']) ? 1 : 0);
  if (total > MAX_CACHE_BREAKPOINTS) {
    return `A maximum of ${String(MAX_CACHE_BREAKPOINTS)} blocks with cache_control may be provided. Found ${String(total)}.`;
  }
  const firstShort = found.findIndex(({ ttl }) => ttl === '5m');
  const late = firstShort === -1 ? undefined : found.slice(firstShort).find(({ ttl }) => ttl === '1h');
  return late === undefined
    ? undefined
    : `${late.where}.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. ` +
        'Note that blocks are processed in the following order: `tools`, `system`, `messages`.';
}
