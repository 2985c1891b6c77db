import Anthropic from '@anthropic-ai/sdk';
import type { MessageParam } from '@anthropic-ai/sdk/resources/messages/messages';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { lastText, reply, startScriptedModel, text, thinking, toolResults, toolUse } from './index.ts';
import type { ScriptedModel } from './index.ts';

const ask = {
  model: 'claude-opus-5-5',
  max_tokens: 1024,
  messages: [{ role: 'user' as const, content: 'Hello' }],
};

let model: ScriptedModel;
let client: Anthropic;
beforeEach(async () => {
  model = await startScriptedModel({ apiKey: 'sk-test' });
  client = new Anthropic({ apiKey: 'sk-test', baseURL: model.url, maxRetries: 0 });
});
afterEach(() => model.close());

describe('requests', () => {
  test('are kept in order with body and headers', async () => {
    model.push(text('one'), text('two'));
    await client.messages.create(ask);
    await client.messages.create({ ...ask, system: 'Be brief.' });
    expect(model.requests.map(({ index, path, body }) => [index, path, body['system']])).toEqual([
      [0, '/v1/messages', undefined],
      [1, '/v1/messages', 'Be brief.'],
    ]);
    expect(model.requests[0]!.headers['anthropic-version']).toBeDefined();
    await expect(model.requests[1]!.done).resolves.toBe('answered');
  });

  test('can be awaited before they arrive', async () => {
    const second = model.waitForRequest(2);
    model.push(text('one'), text('two'));
    await client.messages.create(ask);
    await client.messages.create({ ...ask, max_tokens: 7 });
    expect((await second).body.max_tokens).toBe(7);
    expect((await model.waitForRequest(1)).body.max_tokens).toBe(1024);
  });

  test('that the client gives up are told apart', async () => {
    model.push(text('endless', { chunks: 7, delayMs: 60_000 }));
    const stream = client.messages.stream(ask);
    const result = expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
    const request = await model.waitForRequest(1);
    stream.abort();
    await result;
    await expect(request.done).resolves.toBe('aborted');
  });

  test('to count tokens use up no reply', async () => {
    model.push(text('still here'));
    const { max_tokens: _maxTokens, ...question } = ask;
    expect((await client.messages.countTokens(question)).input_tokens).toBeGreaterThan(0);
    expect((await client.messages.create(ask)).content).toMatchObject([{ text: 'still here' }]);
    expect(model.requests.map(({ path }) => path)).toEqual(['/v1/messages/count_tokens', '/v1/messages']);
  });
});

describe('a script', () => {
  test('of a function answers from the request, over a whole tool loop', async () => {
    await using loop = await startScriptedModel({
      replies: (request) => {
        const [result] = toolResults(request);
        if (!result)
          return [thinking('I must look.', 'sig-1'), toolUse('bash', { command: lastText(request) })];
        return text(result.isError ? 'It failed.' : `It says ${result.text}`);
      },
    });
    const looping = new Anthropic({ apiKey: 'any', baseURL: loop.url, maxRetries: 0 });
    const first = await looping.messages.stream(ask).finalMessage();
    const use = first.content.find((block) => block.type === 'tool_use')!;
    expect(use.input).toEqual({ command: 'Hello' });
    const messages: MessageParam[] = [
      ...ask.messages,
      { role: 'assistant', content: first.content },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: use.id, content: 'a.txt' }] },
    ];
    const second = await looping.messages.stream({ ...ask, messages }).finalMessage();
    expect(second.content).toMatchObject([{ type: 'text', text: 'It says a.txt' }]);

    const tampered = messages.map((message) =>
      message.role === 'assistant'
        ? {
            ...message,
            content: first.content.map((block) =>
              'thinking' in block ? { ...block, thinking: '?' } : block,
            ),
          }
        : message,
    );
    await expect(looping.messages.create({ ...ask, messages: tampered })).rejects.toThrow(
      /cannot be modified/,
    );
    expect(loop.rejections).toHaveLength(1);
  });

  test('that runs out answers 500 once, even to a client that retries', async () => {
    const stubborn = client.withOptions({ maxRetries: 2 });
    model.push(text('only'));
    await stubborn.messages.create(ask);
    await expect(stubborn.messages.create(ask)).rejects.toMatchObject({
      status: 500,
      apiMessage: 'The script is exhausted: request 1 came after all 1 replies were used.',
    });
    expect(model.exhausted).toBe(1);
    expect(model.requests).toHaveLength(2);
  });

  test('that throws is reported, not hidden', async () => {
    model.push(() => {
      throw new Error('no such case');
    });
    await expect(client.messages.create(ask)).rejects.toThrow('The script failed: no such case');
    expect(model.scriptErrors).toMatchObject([{ message: 'no such case' }]);
  });
});

describe('what the API refuses', () => {
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    fetch(model.url + path, {
      method: 'POST',
      body,
      headers: { 'x-api-key': 'sk-test', 'anthropic-version': '2023-06-01', ...headers },
    });

  test('a wrong key', async () => {
    const stranger = client.withOptions({ apiKey: 'sk-other' });
    await expect(stranger.messages.create(ask)).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
    const response = await post('/v1/messages', JSON.stringify(ask), { 'x-api-key': 'sk-other' });
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({
      type: 'error',
      error: { type: 'authentication_error', message: 'invalid x-api-key' },
      request_id: response.headers.get('request-id'),
    });
  });

  test('an invalid request, which uses up no reply', async () => {
    model.push(text('kept'));
    const bad = client.messages.create({ ...ask, messages: [{ role: 'user', content: '' }] });
    await expect(bad).rejects.toMatchObject({ status: 400, type: 'invalid_request_error' });
    expect(model.rejections).toEqual([
      'messages.0: all messages must have non-empty content except for the optional final assistant message',
    ]);
    expect((await client.messages.create(ask)).content).toMatchObject([{ text: 'kept' }]);
  });

  test.each<[string, number, string, () => Promise<Response>]>([
    ['no key', 401, 'x-api-key header is required', () => post('/v1/messages', '{}', { 'x-api-key': '' })],
    ['another path', 404, 'Not found: POST /v1/complete', () => post('/v1/complete', '{}')],
    ['no JSON', 400, 'The request body is not valid JSON', () => post('/v1/messages', '{')],
    [
      'an unknown version',
      400,
      'anthropic-version: "1" is not a valid version',
      () => post('/v1/messages', '{}', { 'anthropic-version': '1' }),
    ],
    [
      'no version',
      400,
      'anthropic-version: header is required',
      () =>
        fetch(`${model.url}/v1/messages`, {
          method: 'POST',
          body: '{}',
          headers: { 'x-api-key': 'sk-test' },
        }),
    ],
    [
      'more than 32 MB',
      413,
      'Request exceeds the maximum size',
      () => post('/v1/messages', JSON.stringify({ pad: 'x'.repeat(32 * 1024 * 1024) })),
    ],
  ])('%s', async (_name, status, message, send) => {
    const response = await send();
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ type: 'error', error: { message } });
  });
});

test('usage arrives whole, streamed or not', async () => {
  const made = reply({
    content: [text('Hi')],
    model: 'claude-opus-5-5-20260901',
    usage: {
      input_tokens: 3,
      output_tokens: 11,
      cache_read_input_tokens: 1000,
      cache_creation: { ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 300 },
      server_tool_use: { web_search_requests: 2 },
    },
  });
  model.push(made, made);
  const expected = {
    model: 'claude-opus-5-5-20260901',
    stop_reason: 'end_turn',
    usage: {
      input_tokens: 3,
      output_tokens: 11,
      cache_read_input_tokens: 1000,
      cache_creation_input_tokens: 320,
      cache_creation: { ephemeral_5m_input_tokens: 20, ephemeral_1h_input_tokens: 300 },
      server_tool_use: { web_search_requests: 2, web_fetch_requests: 0 },
    },
  };
  expect(await client.messages.create(ask)).toMatchObject(expected);
  const stream = client.messages.stream(ask);
  expect(await stream.finalMessage()).toMatchObject(expected);
});

test('close breaks what is open', async () => {
  model.push(text('never', { delayMs: 60_000 }));
  const pending = client.messages.create(ask);
  const request = await model.waitForRequest(1);
  await model.close();
  await expect(pending).rejects.toBeInstanceOf(Anthropic.APIConnectionError);
  await expect(request.done).resolves.toBe('aborted');
});
