import { describe, expect, test } from '@jest/globals';
import { messagesProblem } from './validate-messages.ts';
import { validateRequest } from './validate-request.ts';

const user = (content: unknown) => ({ role: 'user', content });
const assistant = (content: unknown) => ({ role: 'assistant', content });
const call = (id: string) => ({ type: 'tool_use', id, name: 'bash', input: { command: 'ls' } });
const result = (id: string, extra = {}) => ({
  type: 'tool_result',
  tool_use_id: id,
  content: 'a.txt',
  ...extra,
});
const hello = user('Hello');
const valid = { model: 'claude-opus-5-5', max_tokens: 1024, messages: [hello] };
const bash = { name: 'bash', input_schema: { type: 'object' } };
const cached = { cache_control: { type: 'ephemeral' } };
const cachedFor1h = { cache_control: { type: 'ephemeral', ttl: '1h' } };

describe('what can be sent', () => {
  test.each<[string, object]>([
    ['a first message', valid],
    [
      'a system prompt, tools, thinking and caching',
      {
        ...valid,
        system: [{ type: 'text', text: 'Be brief.', ...cached }],
        tools: [
          { ...bash, ...cached },
          { type: 'text_editor_20250728', name: 'str_replace_based_edit_tool' },
        ],
        tool_choice: { type: 'tool', name: 'bash' },
        thinking: { type: 'adaptive' },
        cache_control: { type: 'ephemeral' },
        stream: true,
      },
    ],
    [
      'parallel calls with their results in any order, then text',
      {
        ...valid,
        messages: [
          hello,
          assistant([{ type: 'thinking', thinking: '', signature: 'sig' }, call('a'), call('b')]),
          user([
            result('b', { is_error: true }),
            result('a', { content: [] }),
            { type: 'text', text: 'Go on.' },
          ]),
        ],
      },
    ],
    [
      'blocks as the API returned them',
      {
        ...valid,
        messages: [
          hello,
          assistant([
            { type: 'redacted_thinking', data: 'opaque' },
            { type: 'text', text: 'Hi', citations: null },
            { ...call('a'), caller: { type: 'direct' } },
          ]),
          user([result('a')]),
        ],
      },
    ],
    ['consecutive messages of one role', { ...valid, messages: [hello, user('Are you there?')] }],
    [
      'a system message after a user message',
      { ...valid, messages: [hello, { role: 'system', content: 'Be brief.' }] },
    ],
    [
      'an answer that paused in a server tool',
      {
        ...valid,
        messages: [
          hello,
          assistant([{ type: 'server_tool_use', id: 'srvtoolu_1', name: 'web_search', input: {} }]),
        ],
      },
    ],
  ])('%s', (_name, body) => {
    expect(validateRequest(body)).toBeUndefined();
  });
});

describe('histories that cannot be sent', () => {
  const missing = (at: number, ids: string) =>
    `messages.${at}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${ids}. ` +
    'Each `tool_use` block must have a corresponding `tool_result` block in the next message.';

  test.each<[string, unknown[], string]>([
    [
      'an assistant message first',
      [assistant('Hi'), hello],
      'messages: first message must use the "user" role',
    ],
    ['a call without a result', [hello, assistant([call('a')]), user('Well?')], missing(1, 'a')],
    ['a call at the end', [hello, assistant([call('a')])], missing(1, 'a')],
    ['one of two results', [hello, assistant([call('a'), call('b')]), user([result('a')])], missing(1, 'b')],
    [
      'results over two messages',
      [hello, assistant([call('a'), call('b')]), user([result('a')]), user([result('b')])],
      missing(1, 'b'),
    ],
    [
      'text before the result',
      [hello, assistant([call('a')]), user([{ type: 'text', text: 'See:' }, result('a')])],
      missing(1, 'a'),
    ],
    [
      'two results of one call',
      [hello, assistant([call('a')]), user([result('a'), result('a')])],
      'messages.2.content.1: each tool_use must have a single result. ' +
        'Found multiple `tool_result` blocks with id: a',
    ],
    [
      'a result without a call',
      [user([result('a')])],
      'messages.0.content.0: unexpected `tool_use_id` found in `tool_result` blocks: a. ' +
        'Each `tool_result` block must have a corresponding `tool_use` block in the previous message.',
    ],
    [
      'a result one message late',
      [hello, assistant([call('a')]), user([result('a')]), assistant('ok'), user([result('a')])],
      'messages.4.content.0: unexpected `tool_use_id` found in `tool_result` blocks: a. ' +
        'Each `tool_result` block must have a corresponding `tool_use` block in the previous message.',
    ],
    [
      'an id used twice',
      [hello, assistant([call('a')]), user([result('a')]), assistant([call('a')]), user([result('a')])],
      'messages.3.content.0: `tool_use` ids must be unique',
    ],
    [
      'an empty text block',
      [user([{ type: 'text', text: '' }])],
      'messages: text content blocks must be non-empty',
    ],
    [
      'an empty text block in a result',
      [hello, assistant([call('a')]), user([result('a', { content: [{ type: 'text', text: '' }] })])],
      'messages: text content blocks must be non-empty',
    ],
    ['white space alone', [user(' \n')], 'messages: text content blocks must contain non-whitespace text'],
    [
      'no content',
      [hello, assistant([]), hello],
      'messages.1: all messages must have non-empty content except for the optional final assistant message',
    ],
    [
      'thinking without signature',
      [hello, assistant([{ type: 'thinking', thinking: 'Hm' }]), hello],
      'messages.1.content.0.thinking.signature: Field required',
    ],
    [
      'thinking with an empty signature',
      [hello, assistant([{ type: 'thinking', thinking: 'Hm', signature: '' }]), hello],
      'messages.1.content.0: Invalid `signature` in `thinking` block',
    ],
    [
      'arguments that are not an object',
      [hello, assistant([{ ...call('a'), input: '{}' }]), user([result('a')])],
      'messages.1.content.0.tool_use.input: Input should be a valid dictionary',
    ],
    [
      'a field that blocks do not have',
      [hello, assistant([{ ...call('a'), text: 'x' }]), user([result('a')])],
      'messages.1.content.0.tool_use.text: Extra inputs are not permitted',
    ],
    [
      'an error result without content',
      [hello, assistant([call('a')]), user([result('a', { content: '', is_error: true })])],
      'messages.2.content.0.tool_result: content cannot be empty if `is_error` is true',
    ],
    [
      'a call by the user',
      [user([call('a')])],
      'messages.0.content.0: `tool_use` blocks can only be in `assistant` messages',
    ],
    [
      'a result by the assistant',
      [hello, assistant([result('a')])],
      'messages.1.content.0: `tool_result` blocks can only be in `user` messages',
    ],
    [
      'a system message amid user messages',
      [hello, { role: 'system', content: 'x' }, hello],
      'messages.1: a `system` message must follow a `user` message and be followed by an `assistant` message ' +
        'or end the conversation',
    ],
    [
      'an answer begun for the model',
      [hello, assistant('I think')],
      'This model does not support assistant message prefill. The conversation must end with a user message.',
    ],
  ])('%s', (_name, messages, problem) => {
    expect(messagesProblem(messages)).toBe(problem);
  });

  test('thinking that was changed since the model sent it', () => {
    const history = [hello, assistant([{ type: 'thinking', thinking: 'Hm!', signature: 'sig' }]), hello];
    expect(messagesProblem(history, new Map([['sig', 'Hm!']]))).toBeUndefined();
    expect(messagesProblem(history, new Map([['sig', 'Hm']]))).toMatch(
      /^messages.1.content.0: .* cannot be modified/,
    );
  });
});

describe('requests that cannot be sent', () => {
  const { max_tokens: _maxTokens, ...unlimited } = valid;
  const { model: _model, ...modelless } = valid;

  test.each<[string, unknown, string]>([
    ['no object', [], 'Input should be a valid dictionary or object to extract fields from'],
    ['no model', modelless, 'model: Field required'],
    ['no max_tokens', unlimited, 'max_tokens: Field required'],
    ['no messages', { ...valid, messages: [] }, 'messages: at least one message is required'],
    ['an unknown field', { ...valid, request_id: 'x' }, 'request_id: Extra inputs are not permitted'],
    ['a removed field', { ...valid, temperature: 1 }, 'temperature: Extra inputs are not permitted'],
    [
      'a beta field without the beta',
      { ...valid, context_management: {} },
      'context_management: Extra inputs are not permitted',
    ],
    [
      'an empty system block',
      { ...valid, system: [{ type: 'text', text: '' }] },
      'system: text content blocks must be non-empty',
    ],
    [
      'a tool choice without tools',
      { ...valid, tool_choice: { type: 'any' } },
      'tool_choice: may only be specified while providing tools',
    ],
    ['a tool twice', { ...valid, tools: [bash, bash] }, 'tools: Tool names must be unique.'],
    [
      'a tool without a schema',
      { ...valid, tools: [{ name: 'x' }] },
      'tools.0.custom.input_schema: Field required',
    ],
    [
      'a tool name with a dot',
      { ...valid, tools: [{ ...bash, name: 'mcp.x' }] },
      "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
    ],
    [
      'a typed tool by another name',
      { ...valid, tools: [{ type: 'bash_20250124', name: 'shell' }] },
      "tools.0.bash_20250124.name: Input should be 'bash'",
    ],
    [
      'thinking beyond the answer',
      { ...valid, thinking: { type: 'enabled', budget_tokens: 1024 } },
      '`max_tokens` must be greater than `thinking.budget_tokens`.',
    ],
    [
      'five cache breakpoints',
      {
        ...valid,
        tools: [{ ...bash, ...cached }],
        system: [{ type: 'text', text: 'x', ...cached }],
        messages: [user([1, 2, 3].map((n) => ({ type: 'text', text: String(n), ...cached })))],
      },
      'A maximum of 4 blocks with cache_control may be provided. Found 5.',
    ],
    [
      'a long-lived breakpoint after a short one',
      {
        ...valid,
        tools: [{ ...bash, ...cached }],
        system: [{ type: 'text', text: 'x', ...cachedFor1h }],
      },
      "system.0.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. " +
        'Note that blocks are processed in the following order: `tools`, `system`, `messages`.',
    ],
  ])('%s', (_name, body, problem) => {
    expect(validateRequest(body)).toBe(problem);
  });

  test('fields follow the version, the beta header and the endpoint', () => {
    expect(validateRequest({ ...valid, temperature: 1 }, { version: '2023-06-01' })).toBeUndefined();
    expect(validateRequest({ ...valid, context_management: {} }, { beta: true })).toBeUndefined();
    expect(validateRequest(unlimited, { countTokens: true })).toBeUndefined();
    expect(validateRequest(valid, { countTokens: true })).toBe('max_tokens: Extra inputs are not permitted');
  });
});
