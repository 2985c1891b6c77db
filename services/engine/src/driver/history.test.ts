import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { validateRequest } from '@agentx/testing';
import { MessageSchema, ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import fc from 'fast-check';
import {
  assistant,
  error,
  result,
  summary,
  text,
  thinking,
  toolUse,
  serverTool,
  user,
} from './history.fixtures.ts';
import { toAnthropicMessages } from './history.ts';

const MODEL = 'claude-sonnet-5';

function number(messages: readonly Message[]): Message[] {
  return messages.map((message, index) => create(MessageSchema, { ...message, position: index + 1 }));
}

/** What is made of the messages, checked to be fit for sending. */
function send(messages: readonly Message[], model = MODEL) {
  const sent = toAnthropicMessages(number(messages), model);
  expect(validateRequest({ model, max_tokens: 1, messages: sent })).toBeUndefined();
  return sent;
}

describe('what is sent', () => {
  test('a conversation, as it was', () => {
    expect(send([user('hello'), assistant([text('hi')]), user('bye')])).toEqual([
      { role: 'user', content: [{ type: 'text', text: 'hello' }] },
      { role: 'assistant', content: [{ type: 'text', text: 'hi' }] },
      { role: 'user', content: [{ type: 'text', text: 'bye' }] },
    ]);
  });

  test('pictures and documents', () => {
    const data = new TextEncoder().encode('data');
    const message = user(
      { part: { case: 'image', value: { mediaType: 'image/png', data } } },
      { part: { case: 'file', value: { mediaType: 'application/pdf', data, filename: 'a.pdf' } } },
      { part: { case: 'file', value: { mediaType: 'text/plain', data } } },
    );
    expect(send([message])[0]?.content).toEqual([
      { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'ZGF0YQ==' } },
      {
        type: 'document',
        source: { type: 'base64', media_type: 'application/pdf', data: 'ZGF0YQ==' },
        title: 'a.pdf',
      },
      { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'data' } },
    ]);
  });

  test('results in the order of the calls, before what the user said meanwhile', () => {
    const sent = send([
      user('go'),
      assistant([toolUse('a', '{"n":1}'), toolUse('b', '{}'), toolUse('c', '')]),
      result('b', 'second', { isError: true }),
      user('meanwhile'),
      result('c', 'third'),
      result('a', ''),
    ]);
    expect(sent.slice(1)).toEqual([
      {
        role: 'assistant',
        content: [
          { type: 'tool_use', id: 'a', name: 'bash', input: { n: 1 } },
          { type: 'tool_use', id: 'b', name: 'bash', input: {} },
          { type: 'tool_use', id: 'c', name: 'bash', input: {} },
        ],
      },
      {
        role: 'user',
        content: [
          { type: 'tool_result', tool_use_id: 'a', content: '(no output)' },
          { type: 'tool_result', tool_use_id: 'b', content: 'second', is_error: true },
          { type: 'tool_result', tool_use_id: 'c', content: 'third' },
          { type: 'text', text: 'meanwhile' },
        ],
      },
    ]);
  });

  test('a result that says so for a call that never ran', () => {
    const sent = send([user('go'), assistant([toolUse('a', '{}')]), user('and now?')]);
    expect(sent[2]?.content).toEqual([
      {
        type: 'tool_result',
        tool_use_id: 'a',
        content: expect.stringContaining('never ran') as unknown,
        is_error: true,
      },
      { type: 'text', text: 'and now?' },
    ]);
  });

  test('ids that a provider gave twice, each with the result that follows it', () => {
    const call = assistant([toolUse('call:1', '{}')]);
    const sent = send([user('go'), call, result('call:1', 'first'), call, result('call:1', 'second')]);
    expect(sent.flatMap(({ content }) => content).filter(({ type }) => type === 'tool_result')).toEqual([
      { type: 'tool_result', tool_use_id: 'call_1', content: 'first' },
      { type: 'tool_result', tool_use_id: 'call_1-2', content: 'second' },
    ]);
  });

  test('thinking byte for byte, to the model that made it', () => {
    const odd = 'a\u2028 \r\n\t"{"\u{1F600}\u0000';
    const answer = assistant([
      thinking(odd, 'c2ln'),
      thinking('', 'b25seQ=='),
      thinking('', '', 'ZGF0YQ=='),
      text('so'),
    ]);
    expect(send([user('go'), answer, user('on')])[1]?.content).toEqual([
      { type: 'thinking', thinking: odd, signature: 'c2ln' },
      { type: 'thinking', thinking: '', signature: 'b25seQ==' },
      { type: 'redacted_thinking', data: 'ZGF0YQ==' },
      { type: 'text', text: 'so' },
    ]);
    expect(send([user('go'), answer, user('on')], 'claude-opus-5')[1]?.content).toEqual([
      { type: 'text', text: 'so' },
    ]);
  });

  test('thinking of the dated model that an alias stands for', () => {
    const answer = assistant([thinking('hm', 'c2ln'), text('so')], 'claude-sonnet-4-5-20250929');
    expect(send([user('go'), answer, user('on')], 'claude-sonnet-4-5')[1]?.content).toHaveLength(2);
    expect(send([user('go'), answer, user('on')], 'claude-sonnet-4')[1]?.content).toHaveLength(1);
  });

  test('the summary instead of everything up to its position', () => {
    const sent = send([
      user('one'),
      assistant([toolUse('a', '{}')]),
      result('a', 'late'),
      user('kept'),
      create(MessageSchema, { ...summary('what was', 2) }),
      user('new'),
    ]);
    expect(sent).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: expect.stringContaining('what was') as unknown },
          { type: 'text', text: 'kept' },
          { type: 'text', text: 'new' },
        ],
      },
    ]);
  });

  test('calls of the provider with their results; one alone only where the answer has paused', () => {
    const use = serverTool('server_tool_use', { id: 's1', name: 'web_search', input: { query: 'x' } });
    const found = serverTool('web_search_tool_result', { tool_use_id: 's1', content: [] });
    expect(send([user('go'), assistant([use, found, text('so')]), user('on')])[1]?.content).toHaveLength(3);
    expect(send([user('go'), assistant([text('so'), use]), user('on')])[1]?.content).toHaveLength(1);
    expect(send([user('go'), assistant([text('so'), use])])[1]?.content).toHaveLength(2);
    expect(
      send([user('go'), assistant([text('so'), use]), assistant([found, text('that')]), user('on')])[1]
        ?.content,
    ).toHaveLength(4);
  });
});

describe('what is never sent', () => {
  test('unsigned thinking, blank text and cut calls', () => {
    const cut = [
      thinking('hm', ''),
      text(' \n'),
      toolUse('a', '{"command": "to'),
      toolUse('b', ''),
      toolUse('c', '[]'),
    ];
    expect(send([user('go'), assistant([text('so'), ...cut]), user('on')])[1]?.content).toEqual([
      { type: 'text', text: 'so' },
    ]);
    expect(send([user('go'), assistant(cut), user('on')])).toEqual([
      {
        role: 'user',
        content: [
          { type: 'text', text: 'go' },
          { type: 'text', text: 'on' },
        ],
      },
    ]);
  });

  test('a call that is not readable; its result tells the model in words', () => {
    const sent = send([
      user('go'),
      assistant([text('so'), toolUse('a', '{"x')]),
      result('a', 'not JSON', { isError: true }),
    ]);
    expect(sent.slice(1)).toEqual([
      { role: 'assistant', content: [{ type: 'text', text: 'so' }] },
      {
        role: 'user',
        content: [{ type: 'text', text: 'The call of the tool "bash" was not readable: not JSON' }],
      },
    ]);
  });

  test('an answer that was cut after its thinking', () => {
    expect(send([user('go'), assistant([thinking('hm', 'c2ln')]), user('on')])).toHaveLength(1);
  });

  test('errors, and results without a call', () => {
    const sent = send([user('go'), error('MODEL_OVERLOADED'), result('gone', 'x'), user('again')]);
    expect(JSON.stringify(sent)).not.toMatch(/OVERLOADED|tool_result/);
  });

  test('a history of nothing', () => {
    expect(toAnthropicMessages([error('MODEL_OVERLOADED')], MODEL)).toEqual([]);
  });
});

describe('any history', () => {
  const anyText = fc.oneof(fc.constantFrom('', ' ', '\n'), fc.string({ unit: 'grapheme' }));
  const anyId = fc.constantFrom('t1', 't2', 't3', 'toolu_4', 'x y', '');
  const anyJson = fc.constantFrom('{}', '', '{"command":"ls"}', '{"comm', '[1]', 'null', '{"a":{"b":[1]}}');
  const anyServerTool = fc.oneof(
    fc.constant(serverTool('server_tool_use', { id: 's1', name: 'web_search', input: {} })),
    fc.constant(serverTool('web_search_tool_result', { tool_use_id: 's1', content: [] })),
    fc.constant(serverTool('container_upload', { file_id: 'f' })),
    fc.constant({ part: { case: 'serverTool' as const, value: { type: 'x', blockJson: '{"type":' } } }),
  );
  const anyPart = fc.oneof(
    anyText.map((value) => text(value)),
    fc.tuple(anyText, fc.constantFrom('', 'c2ln')).map(([value, signature]) => thinking(value, signature)),
    fc.constant(thinking('', '', 'ZGF0YQ==')),
    fc.tuple(anyId, anyJson).map(([id, json]) => toolUse(id, json)),
    anyServerTool,
  );
  const anyMessage = fc.oneof(
    anyText.map((value) => user(value)),
    fc
      .tuple(fc.array(anyPart, { maxLength: 5 }), fc.constantFrom(MODEL, 'other'))
      .map(([parts, model]) => assistant(parts, model)),
    fc
      .tuple(anyId, anyText, fc.boolean())
      .map(([id, value, isError]) => result(id, value, { isError, outcome: ToolOutcome.UNKNOWN })),
    fc.constant(error('X')),
    fc.tuple(anyText, fc.nat(8)).map(([value, through]) => summary(value, through)),
  );

  test('can be sent, with every readable call answered and every text kept', () => {
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 12 }), (messages) => {
        const history = number([user('first'), ...messages]);
        const sent = toAnthropicMessages(history, MODEL);
        expect(validateRequest({ model: MODEL, max_tokens: 1, messages: sent })).toBeUndefined();
        if (history.some(({ body }) => body.case === 'summary')) return;
        const texts = sent.flatMap(({ content }) =>
          content.flatMap((block) => (block.type === 'text' ? [block.text] : [])),
        );
        for (const { body } of history) {
          const part = body.case === 'user' ? body.value.content[0]?.part : undefined;
          if (part?.case === 'text' && part.value.text.trim() !== '')
            expect(texts).toContain(part.value.text);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
