import Anthropic from '@anthropic-ai/sdk';
import type { RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  block,
  brokenJson,
  burst,
  countEvents,
  cutAfter,
  endAfter,
  hold,
  httpError,
  midStreamError,
  rawEvents,
  redactedThinking,
  reply,
  silence,
  startScriptedModel,
  text,
  thinking,
  toolUse,
} from './index.ts';
import type { ScriptedModel } from './index.ts';

const ask = {
  model: 'claude-opus-5-5',
  max_tokens: 1024,
  messages: [{ role: 'user' as const, content: 'Hello' }],
};

let model: ScriptedModel;
let client: Anthropic;
beforeEach(async () => {
  model = await startScriptedModel();
  client = new Anthropic({ apiKey: 'sk-test', baseURL: model.url, maxRetries: 0 });
});
afterEach(() => model.close());

/** The events until the end, or until the error that the stream ended with. */
async function collect(): Promise<{ events: RawMessageStreamEvent[]; error?: unknown }> {
  const events: RawMessageStreamEvent[] = [];
  try {
    for await (const event of await client.messages.create({ ...ask, stream: true })) events.push(event);
  } catch (error) {
    return { events, error };
  }
  return { events };
}

const finalMessage = () => client.messages.stream(ask).finalMessage();

describe('content', () => {
  test('text comes in the pieces asked for, in the order of the API', async () => {
    model.push(text('Hello!', { chunks: ['Hel', 'lo!'] }));
    const { events } = await collect();
    expect(events.map((event) => event.type)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ]);
    expect(events[3]).toEqual({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: 'lo!' },
    });
    expect(events[5]).toMatchObject({ delta: { stop_reason: 'end_turn', stop_sequence: null } });
  });

  test('on the wire there is a ping too, each event named', async () => {
    model.push(text('Hello'));
    const response = await client.messages.create({ ...ask, stream: true }).asResponse();
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('request-id')).toMatch(/^req_01/);
    const wire = await response.text();
    expect(wire).toContain('event: ping\ndata: {"type": "ping"}\n\n');
    expect(wire.split('\n\n').at(-2)).toBe('event: message_stop\ndata: {"type":"message_stop"}');
  });

  test('every kind of block, streamed and whole alike', async () => {
    const use = toolUse('bash', { command: 'ls "ä" 😀' }, { chunks: 9 });
    const search = block({
      type: 'server_tool_use',
      id: 'srvtoolu_1',
      name: 'web_search',
      input: { query: 'x' },
      caller: { type: 'direct' },
    });
    const made = reply({
      content: [
        thinking('Let me see. 😀😀😀', 'c2ln', { chunks: 11 }),
        redactedThinking('opaque'),
        search,
        text('Look:'),
        use,
      ],
    });
    model.push(made, made);
    const streamed = await finalMessage();
    const { content, stop_reason } = await client.messages.create(ask);
    expect(JSON.parse(JSON.stringify(streamed.content))).toEqual(content);
    expect(content.map(({ type }) => type)).toEqual([
      'thinking',
      'redacted_thinking',
      'server_tool_use',
      'text',
      'tool_use',
    ]);
    expect(content[0]).toEqual({ type: 'thinking', thinking: 'Let me see. 😀😀😀', signature: 'c2ln' });
    expect(content[4]).toMatchObject({ id: use.id, input: { command: 'ls "ä" 😀' } });
    expect([stop_reason, streamed.stop_reason]).toEqual(['tool_use', 'tool_use']);
  });

  test('arguments that never become JSON', async () => {
    model.push(brokenJson('bash', '{"command": "ls', { id: 'toolu_1' }));
    const { events } = await collect();
    const json = events.flatMap((event) =>
      event.type === 'content_block_delta' && event.delta.type === 'input_json_delta'
        ? event.delta.partial_json
        : [],
    );
    expect(json.join('')).toBe('{"command": "ls');
    expect(events.at(-2)).toMatchObject({ type: 'message_delta', delta: { stop_reason: 'tool_use' } });
    expect(events.at(-1)).toEqual({ type: 'message_stop' });
  });

  test('a delta never ends in half a character', () => {
    for (let chunks = 1; chunks <= 12; chunks += 1) {
      const pieces = text('a😀😀😀😀', { chunks }).deltas.map((delta) => ('text' in delta ? delta.text : ''));
      expect(pieces.join('')).toBe('a😀😀😀😀');
      expect(pieces.filter((piece) => !piece.isWellFormed())).toEqual([]);
    }
  });

  test('chunks that do not make up the text are a mistake of the test', () => {
    expect(() => text('Hello', { chunks: ['Hel'] })).toThrow(
      'chunks must join to "Hello", but join to "Hel"',
    );
    expect(() => text('Hello', { chunks: 0 })).toThrow(RangeError);
  });
});

describe('failures', () => {
  test.each<[number, string, new (...rest: never[]) => unknown]>([
    [400, 'invalid_request_error', Anthropic.BadRequestError],
    [401, 'authentication_error', Anthropic.AuthenticationError],
    [403, 'permission_error', Anthropic.PermissionDeniedError],
    [404, 'not_found_error', Anthropic.NotFoundError],
    [413, 'request_too_large', Anthropic.APIError],
    [429, 'rate_limit_error', Anthropic.RateLimitError],
    [500, 'api_error', Anthropic.InternalServerError],
    [529, 'overloaded_error', Anthropic.InternalServerError],
  ])('an HTTP error %i', async (status, type, errorClass) => {
    model.push(httpError(status, type, 'Sorry', { retryAfter: 7 }));
    const { error } = await collect();
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ status, type, apiMessage: 'Sorry' });
    const { headers, requestID } = error as InstanceType<typeof Anthropic.APIError>;
    expect(headers?.get('retry-after')).toBe('7');
    expect(requestID).toMatch(/^req_01/);
  });

  test('a retry finds the next reply', async () => {
    model.push(httpError(429, 'rate_limit_error', 'Slow down', { retryAfter: 0 }), text('There.'));
    const message = await client.withOptions({ maxRetries: 1 }).messages.create(ask);
    expect(message.content).toMatchObject([{ text: 'There.' }]);
    expect(model.requests).toHaveLength(2);
  });

  test('an error amid the stream comes after the events before it', async () => {
    model.push(midStreamError(text('Hello!', { chunks: 2 }), 4), midStreamError(text('Hello!'), 4));
    const { events, error } = await collect();
    // The SDK keeps the ping to itself: 4 events are message_start, content_block_start, ping and one delta.
    expect(events.map(({ type }) => type)).toEqual([
      'message_start',
      'content_block_start',
      'content_block_delta',
    ]);
    expect(error).toMatchObject({ type: 'overloaded_error', apiMessage: 'Overloaded' });
    await expect(client.messages.create(ask)).rejects.toMatchObject({ status: 529 });
  });

  test('a cut connection is an error, wherever it is cut', async () => {
    const whole = toolUse('bash', { command: 'ls' }, { chunks: 3 });
    const total = countEvents(whole);
    for (let sent = 0; sent <= total; sent += 1) {
      model.push(cutAfter(whole, sent));
      const { events, error } = await collect();
      expect({ sent, failed: error !== undefined }).toEqual({ sent, failed: true });
      expect(events).toHaveLength(sent < 3 ? sent : sent - 1);
      await expect(model.requests.at(-1)!.done).resolves.toBe('cut');
    }
    expect(total).toBe(10);
  });

  test('a stream that just ends is short of its last events', async () => {
    model.push(endAfter(text('Hello'), 4));
    const { events, error } = await collect();
    expect(error).toBeUndefined();
    expect(events.at(-1)?.type).toBe('content_block_delta');
  });

  test('silence lasts until the client gives up', async () => {
    model.push(silence);
    const controller = new AbortController();
    const pending = client.messages.create({ ...ask, stream: true }, { signal: controller.signal });
    const request = await model.waitForRequest(1);
    controller.abort();
    await expect(pending).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
    await expect(request.done).resolves.toBe('aborted');
  });

  test('a break beyond the reply is a mistake of the test', () => {
    expect(() => cutAfter(text('Hello'), 99)).toThrow(
      'afterEvents must be a whole number from 0 to 7, not 99',
    );
  });
});

describe('a reply that is held', () => {
  test('waits amid the stream until the gate opens', async () => {
    const gate = Promise.withResolvers<undefined>();
    model.push(hold(text('Hello', { chunks: ['Hel', 'lo'] }), gate.promise, 4));
    const stream = await client.messages.create({ ...ask, stream: true });
    const iterator = stream[Symbol.asyncIterator]();
    const seen = [await iterator.next(), await iterator.next(), await iterator.next()];
    expect(seen[2]!.value).toMatchObject({ delta: { text: 'Hel' } });
    let arrived = false;
    const next = iterator.next().then(({ value }) => {
      arrived = true;
      return value as RawMessageStreamEvent;
    });
    // A whole exchange beside it: time enough for an event that is not held to arrive.
    model.push(text('beside'));
    await finalMessage();
    expect(arrived).toBe(false);
    gate.resolve(undefined);
    expect(await next).toMatchObject({ delta: { text: 'lo' } });
  });

  test('can break afterwards, and can wait before it says anything', async () => {
    const gate = Promise.withResolvers<undefined>();
    model.push(cutAfter(hold(text('Hello'), gate.promise), 2));
    const pending = collect();
    await model.waitForRequest(1);
    gate.resolve(undefined);
    const { events, error } = await pending;
    expect(events).toHaveLength(2);
    expect(error).toMatchObject({ message: 'terminated' });
  });
});

describe('raw events', () => {
  test('go out as they are', async () => {
    model.push(rawEvents([{ type: 'message_stop' }, { event: 'message_start', data: '{"type": "mess' }]));
    const quiet = client.withOptions({ logLevel: 'off' });
    const events: unknown[] = [];
    const read = async () => {
      for await (const event of await quiet.messages.create({ ...ask, stream: true })) events.push(event);
    };
    await expect(read()).rejects.toBeInstanceOf(SyntaxError);
    expect(events).toEqual([{ type: 'message_stop' }]);
  });

  test('cannot answer a request that is not streamed', async () => {
    model.push(rawEvents([{ type: 'message_stop' }]));
    await expect(client.messages.create(ask)).rejects.toThrow(/can only be streamed/);
  });
});

describe('a burst', () => {
  test.each([0, 0.05])('delivers every delta once, paced at %d ms', async (perDeltaMs) => {
    const made = burst(2000, { perDeltaMs, deltaText: 'ab' });
    model.push(made, made);
    for (const message of [await finalMessage(), await finalMessage()]) {
      expect(message.content).toMatchObject([{ type: 'text', text: 'ab'.repeat(2000) }]);
      expect(message.usage.output_tokens).toBe(2000);
    }
  });

  test('breaks between two deltas', async () => {
    model.push(cutAfter(burst(1000), 503));
    const { events, error } = await collect();
    expect(events.filter(({ type }) => type === 'content_block_delta')).toHaveLength(500);
    expect(error).toMatchObject({ message: 'terminated' });
  });
});
