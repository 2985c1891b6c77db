import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { MessageSchema, ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { DriverEvent, ModelRequest } from './driver.ts';
import { assistant, result, toolUse, user } from './history.fixtures.ts';
import { createSimulatedDriver, SIMULATED_NOTICE } from './simulated.ts';

const bash = { kind: 'anthropic', type: 'bash_20250124', name: 'bash' } as const;

function toRequest(history: readonly Message[], tools: ModelRequest['tools'] = [bash]): ModelRequest {
  const placed = history.map((message, index) => create(MessageSchema, { ...message, position: index + 1 }));
  return { model: 'claude-sonnet-5', system: '', history: placed, tools, maxOutputTokens: 1024 };
}

async function run(request: ModelRequest, signal = new AbortController().signal): Promise<DriverEvent[]> {
  const events: DriverEvent[] = [];
  for await (const event of createSimulatedDriver().stream(request, signal)) events.push(event);
  return events;
}

function textOf(events: readonly DriverEvent[]): string {
  return events.map((event) => (event.type === 'text_delta' ? event.text : '')).join('');
}

test('says what it is and what it was told', async () => {
  const events = await run(toRequest([user('hello\nthere')]));
  expect(events[0]).toMatchObject({ type: 'message_start', model: 'simulated' });
  expect(textOf(events)).toBe(`${SIMULATED_NOTICE}\n\nYou said: hello\nthere`);
  expect(events.at(-2)).toMatchObject({ stopReason: StopReason.END_TURN, usage: { inputTokens: 3n } });
  expect(events.at(-1)).toEqual({ type: 'message_stop' });
});

test('gives the same history the same answer', async () => {
  const request = toRequest([user('!think hm\n!bash ls\nwhy?')]);
  expect(await run(request)).toEqual(await run(request));
});

test('calls bash for each command, in one answer, in order', async () => {
  const events = await run(
    toRequest([user('hi'), assistant([]), user('!bash ls "a b"\nand\r\n  !bash pwd')]),
  );
  expect(events.slice(1, -2)).toEqual([
    { type: 'tool_use_start', part: 0, toolCallId: 'sim_3_0', name: 'bash' },
    { type: 'input_json_delta', part: 0, toolCallId: 'sim_3_0', partialJson: '{"command":"ls \\"a b\\""}' },
    { type: 'tool_use_stop', part: 0, toolCallId: 'sim_3_0' },
    { type: 'tool_use_start', part: 1, toolCallId: 'sim_3_1', name: 'bash' },
    { type: 'input_json_delta', part: 1, toolCallId: 'sim_3_1', partialJson: '{"command":"pwd"}' },
    { type: 'tool_use_stop', part: 1, toolCallId: 'sim_3_1' },
  ]);
  expect(events.at(-2)).toMatchObject({ stopReason: StopReason.TOOL_USE });
});

test('sums up the results', async () => {
  const history = [
    user('look\n!bash ls\n!bash false\n!bash lost'),
    assistant([toolUse('sim_1_0', '{}'), toolUse('sim_1_1', '{}'), toolUse('sim_1_2', '{}')]),
    result('sim_1_1', 'no\n', { isError: true, outcome: ToolOutcome.ERROR }),
    result('sim_1_0', '1\n2\n3\n4\n5\n6\n7\n'),
  ];
  const events = await run(toRequest(history));
  expect(textOf(events)).toBe(
    [
      SIMULATED_NOTICE,
      'You said: look',
      '$ ls\nOK\n1\n2\n3\n4\n5\n(2 more lines)',
      '$ false\nERROR\nno',
      '$ lost\nno result',
    ].join('\n\n'),
  );
  expect(events.at(-2)).toMatchObject({ stopReason: StopReason.END_TURN });
});

test('without a bash tool says that nothing ran', async () => {
  const events = await run(toRequest([user('!bash ls')], []));
  expect(textOf(events)).toContain('$ ls\nnot run: this agent has no bash tool');
  expect(events.at(-2)).toMatchObject({ stopReason: StopReason.END_TURN });
});

test('thinks, with a signature', async () => {
  expect((await run(toRequest([user('!think so\nhi')]))).slice(1, 3)).toEqual([
    { type: 'thinking_delta', part: 0, text: 'so' },
    { type: 'signature_delta', part: 0, signature: 'simulated' },
  ]);
});

test('names what is wrong with a directive', async () => {
  for (const line of ['!stream', '!stream 0 1', '!stream 5 1h', '!stream 200000 0', '!bash', '!think ']) {
    expect(textOf(await run(toRequest([user(`${line}\nhi`)])))).toContain(`"${line.trim()}" should be !`);
  }
});

describe('!stream', () => {
  test('answers in exactly so many pieces', async () => {
    const events = await run(toRequest([user('hi\n!stream 300 0')]));
    const pieces = events.flatMap((event) => (event.type === 'text_delta' ? [event.text] : []));
    expect(pieces).toHaveLength(300);
    expect(pieces[0]).toBe(`${SIMULATED_NOTICE}\n\nYou said: hi\n\n1`);
    expect(pieces.slice(1).join('')).toBe(
      pieces
        .slice(1)
        .map((_, index) => ` ${index + 2}`)
        .join(''),
    );
  });

  test('ends with the reason of an abort, while it waits and while it does not', async () => {
    for (const directive of ['!stream 2 60000', '!stream 100000 0']) {
      const controller = new AbortController();
      const reason = new Error('stop');
      const ended = run(toRequest([user(directive)]), controller.signal);
      setImmediate(() => controller.abort(reason));
      await expect(ended).rejects.toBe(reason);
    }
  });
});
