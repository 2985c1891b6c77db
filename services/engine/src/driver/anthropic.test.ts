import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import {
  block,
  brokenJson,
  rawEvents,
  redactedThinking,
  reply,
  text,
  thinking,
  toolUse,
} from '@agentx/testing';
import { StopReason, TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { answer, failureOf, joined, model, request } from './anthropic.fixtures.ts';
import { assistant, result, toolUse as toolUsePart, user } from './history.fixtures.ts';

describe('an answer', () => {
  test('in words', async () => {
    const events = await answer(
      reply({ content: [text('Hello there!', { chunks: 3 })], model: 'claude-x-1' }),
    );
    expect(events[0]).toMatchObject({ type: 'message_start', model: 'claude-x-1' });
    expect(events.slice(1, 4)).toEqual([
      { type: 'text_delta', part: 0, text: 'Hell' },
      { type: 'text_delta', part: 0, text: 'o th' },
      { type: 'text_delta', part: 0, text: 'ere!' },
    ]);
    expect(events[4]).toMatchObject({ type: 'message_delta', stopReason: StopReason.END_TURN });
    expect(events).toHaveLength(6);
  });

  test('with thinking, its signature after it, and blocks without content leaving no gap', async () => {
    const events = await answer([
      thinking('let me see', 'c2ln'),
      text(''),
      redactedThinking('ZGF0YQ=='),
      thinking('', 'b25seQ=='),
      text('so'),
    ]);
    expect(joined(events, 'thinking_delta')).toBe('let me see');
    expect(events.filter(({ type }) => !/thinking_delta|message/.test(type))).toEqual([
      { type: 'signature_delta', part: 0, signature: 'c2ln' },
      { type: 'redacted_thinking', part: 1, data: 'ZGF0YQ==' },
      { type: 'signature_delta', part: 2, signature: 'b25seQ==' },
      { type: 'text_delta', part: 3, text: 'so' },
    ]);
  });

  test('with several tool calls', async () => {
    const first = toolUse('bash', { command: 'ls -la /tmp' }, { chunks: 3 });
    const second = toolUse('restart', {}, { chunks: [''].slice(1).concat('{}') });
    const events = await answer([text('Look.'), first, second]);
    expect(events.at(-2)).toMatchObject({ type: 'message_delta', stopReason: StopReason.TOOL_USE });
    for (const [part, { id }, name, input] of [
      [1, first, 'bash', { command: 'ls -la /tmp' }],
      [2, second, 'restart', {}],
    ] as const) {
      const own = events.filter((event) => 'toolCallId' in event && event.toolCallId === id);
      expect(own[0]).toEqual({ type: 'tool_use_start', part, toolCallId: id, name });
      expect(own.at(-1)).toEqual({ type: 'tool_use_stop', part, toolCallId: id });
      const json = own.map((event) => (event.type === 'input_json_delta' ? event.partialJson : '')).join('');
      expect(JSON.parse(json)).toEqual(input);
    }
  });

  test('with a call that has no arguments: they are {}', async () => {
    const events = await answer(brokenJson('restart', ''));
    expect(events).toContainEqual(expect.objectContaining({ type: 'input_json_delta', partialJson: '{}' }));
  });

  test('with broken arguments, delivered as they are', async () => {
    const events = await answer(
      reply({ content: [brokenJson('bash', '{"command": "to')], stopReason: 'max_tokens' }),
    );
    const json = events.map((event) => (event.type === 'input_json_delta' ? event.partialJson : '')).join('');
    expect(json).toBe('{"command": "to');
    expect(events.at(-2)).toMatchObject({ stopReason: StopReason.MAX_TOKENS });
  });

  test('with blocks of the tools of the provider, passed through whole', async () => {
    const use = {
      type: 'server_tool_use',
      id: 'srvtoolu_1',
      name: 'web_search',
      input: {},
      caller: { type: 'direct' },
    };
    const found = { type: 'something_new', items: [1] };
    const events = await answer([
      block(use as never, use as never, [
        { type: 'input_json_delta', partial_json: '{"query":' },
        { type: 'input_json_delta', partial_json: '"x"}' },
      ]),
      block(found as never, found as never, [{ type: 'something_delta', items: [2] } as never]),
      text('so'),
    ]);
    const blocks = events.flatMap((event) => (event.type === 'server_tool' ? [event] : []));
    expect(blocks.map(({ part, blockType }) => [part, blockType])).toEqual([
      [0, 'server_tool_use'],
      [1, 'something_new'],
    ]);
    expect(JSON.parse(blocks[0]!.blockJson)).toEqual({ ...use, input: { query: 'x' } });
    expect(JSON.parse(blocks[1]!.blockJson)).toEqual({ ...found, items: [1, 2] });
    expect(events).toContainEqual({ type: 'text_delta', part: 2, text: 'so' });
  });

  test.each([
    ['end_turn', StopReason.END_TURN],
    ['max_tokens', StopReason.MAX_TOKENS],
    ['stop_sequence', StopReason.STOP_SEQUENCE],
    ['tool_use', StopReason.TOOL_USE],
    ['refusal', StopReason.REFUSAL],
    ['pause_turn', StopReason.TOOL_USE],
    ['model_context_window_exceeded', StopReason.MAX_TOKENS],
    ['toString', StopReason.UNSPECIFIED],
  ])('that stops with %s', async (stopReason, expected) => {
    const events = await answer(reply({ content: [text('x')], stopReason: stopReason as 'end_turn' }));
    expect(events.at(-2)).toMatchObject({ type: 'message_delta', stopReason: expected });
  });

  test('with its tokens, cached ones too', async () => {
    const events = await answer(
      reply({
        content: [text('x')],
        usage: {
          input_tokens: 10,
          output_tokens: 20,
          cache_read_input_tokens: 30,
          cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 50 },
          server_tool_use: { web_search_requests: 2, web_fetch_requests: 1 },
        },
      }),
    );
    const counts = {
      inputTokens: 10n,
      cacheReadTokens: 30n,
      cacheWrite5mTokens: 40n,
      cacheWrite1hTokens: 50n,
      serverToolRequests: 3n,
    };
    expect(events[0]).toHaveProperty('usage', create(TokenUsageSchema, { ...counts, outputTokens: 1n }));
    expect(events.at(-2)).toHaveProperty('usage', create(TokenUsageSchema, { ...counts, outputTokens: 20n }));
  });

  test('of a server that reports little and sends what nobody knows', async () => {
    const events = await answer(
      rawEvents([
        { type: 'message_start', message: { model: 'm', content: [] } },
        { type: 'news', content: 1 },
        { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'all ' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'news_delta', text: 'x' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'here' } },
        { type: 'content_block_stop', index: 0 },
        {
          type: 'content_block_start',
          index: 1,
          content_block: { type: 'tool_use', id: 'a', name: 'b', input: { c: 1 } },
        },
        { type: 'content_block_stop', index: 1 },
        {
          type: 'message_delta',
          delta: { stop_reason: 'tool_use' },
          usage: { output_tokens: 7, input_tokens: null },
        },
        { type: 'message_stop' },
      ]),
    );
    expect(joined(events, 'text_delta')).toBe('all here');
    expect(events).toContainEqual({
      type: 'input_json_delta',
      part: 1,
      toolCallId: 'a',
      partialJson: '{"c":1}',
    });
    expect(events.at(-2)).toHaveProperty('usage', create(TokenUsageSchema, { outputTokens: 7n }));
  });
});

describe('a request', () => {
  test('carries tools, system prompt and history, each up to a cache point', async () => {
    const cached = { cache_control: { type: 'ephemeral' } };
    await answer(text('x'), {
      request: {
        ...request,
        tools: [
          { kind: 'anthropic', type: 'bash_20250124', name: 'bash' },
          { kind: 'described', name: 'read', description: 'Reads.', inputSchema: { type: 'object' } },
        ],
        history: [
          user('hello'),
          assistant([toolUsePart('a', '{}'), toolUsePart('b', '{}')]),
          result('a', 'one'),
          result('b', 'two'),
        ],
      },
    });
    expect(model.rejections).toEqual([]);
    expect(model.requests[0]?.body).toEqual({
      model: 'claude-sonnet-5',
      max_tokens: 1024,
      stream: true,
      system: [{ type: 'text', text: 'Be brief.', ...cached }],
      tools: [
        { type: 'bash_20250124', name: 'bash' },
        { name: 'read', description: 'Reads.', input_schema: { type: 'object' }, ...cached },
      ],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'hello', ...cached }] },
        {
          role: 'assistant',
          content: [
            { type: 'tool_use', id: 'a', name: 'bash', input: {} },
            { type: 'tool_use', id: 'b', name: 'bash', input: {} },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'a', content: 'one' },
            { type: 'tool_result', tool_use_id: 'b', content: 'two', ...cached },
          ],
        },
      ],
    });
  });

  test('carries the key where compatible servers look for it', async () => {
    await answer(text('x'));
    expect(model.requests[0]?.headers).toMatchObject({ 'x-api-key': 'key', authorization: 'Bearer key' });
  });

  test('without anything to say is not sent', async () => {
    const failure = await failureOf([], { request: { ...request, history: [] } });
    expect(failure).toMatchObject({ reason: 'MODEL_BAD_REQUEST', retryable: false });
    expect(model.requests).toHaveLength(0);
  });
});
