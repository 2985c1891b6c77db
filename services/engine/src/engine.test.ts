import { describe, expect, test } from '@jest/globals';
import { Code } from '@connectrpc/connect';
import { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { AttemptStatus, TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { UsageGroupBy } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { codeOf, reasonOf } from '@agentx/service-kit';
import { answer, ANSWER_USAGE, driverError, SCRIPTED_MODEL } from './driver/scripted.fixtures.ts';
import { startRig } from './engine.fixtures.ts';
import type { ToolScript } from './engine.fixtures.ts';
import { expectSound, kinds, logged, plain } from './invariants.fixtures.ts';

const echo: ToolScript = async ({ text }) => ({ content: String(text) });
const call = (id: string, text: string) => ({ id, name: 'echo', input: JSON.stringify({ text }) });

/** What 100 tokens in and 10 out cost. */
const ANSWER_COST = 450n;

describe('a text answer', () => {
  test('tells of each thing once, in order', async () => {
    await using rig = await startRig({ engine: { notice: 'a remark' } });
    rig.driver.script(answer({ text: ['Hel', 'lo'] }));
    const events = await rig.receive({
      agentId: 'a1',
      requestId: 'r1',
      input: { case: 'text', value: 'hi' },
    });

    const [accepted, ...rest] = events.map(plain);
    expect(accepted).toEqual({
      turnAccepted: { requestId: 'r1', deduplicated: false, notice: 'a remark' },
    });
    const place = { step: 1, attempt: 1 };
    const usage = { inputTokens: '100', outputTokens: '10' };
    expect(rest).toEqual([
      { turnStarted: { model: SCRIPTED_MODEL, requestId: 'r1' } },
      {
        message: expect.objectContaining({
          agentId: 'a1',
          position: 1,
          user: { content: [{ text: { text: 'hi' } }] },
        }),
      },
      { ...place, thinking: {} },
      {
        ...place,
        messageStart: { model: SCRIPTED_MODEL, usage: { inputTokens: '100', outputTokens: '1' } },
      },
      { ...place, responding: {} },
      { ...place, textDelta: { text: 'Hel' } },
      { ...place, textDelta: { text: 'lo' } },
      { ...place, messageDelta: { stopReason: 'STOP_REASON_END_TURN', usage } },
      { ...place, messageStop: {} },
      {
        ...place,
        message: expect.objectContaining({
          position: 2,
          assistant: {
            content: [{ text: { text: 'Hello' } }],
            usage,
            model: SCRIPTED_MODEL,
            stopReason: 'STOP_REASON_END_TURN',
          },
        }),
      },
      {
        ...place,
        turnEnded: {
          stopReason: 'STOP_REASON_END_TURN',
          usage,
          costMicroUsd: String(ANSWER_COST),
          durationMs: expect.stringMatching(/^\d+$/),
        },
      },
    ]);

    const turnId = events[0]!.turnId;
    expect(turnId).not.toBe('');
    for (const event of events) {
      expect(event).toMatchObject({ agentId: 'a1', turnId, engineId: 'engine-1' });
      expect(event.time).toBeDefined();
    }
    expect(events.filter(({ cursor }) => cursor === '')).toEqual([events[0]]);
    await expectSound(rig, 'a1');
  });

  test('keeps thinking with its signature', async () => {
    await using rig = await startRig();
    rig.driver.script(answer({ thinking: 'hm', text: ['Yes'] }));
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
    expect(kinds(events)).toEqual([
      'turnAccepted',
      'turnStarted',
      'message user',
      'thinking',
      'messageStart',
      'thinkingDelta',
      'responding',
      'textDelta',
      'messageDelta',
      'messageStop',
      'message assistant',
      'turnEnded',
    ]);
    const { messages } = await rig.client.listMessages({ agentId: 'a1' });
    expect(messages[1]!.body.value).toMatchObject({
      content: [
        { part: { case: 'thinking', value: { text: 'hm', signature: 'signed', redacted: '' } } },
        { part: { case: 'text', value: { text: 'Yes' } } },
      ],
    });
    await expectSound(rig, 'a1');
  });

  test('shows deltas before the answer is whole', async () => {
    await using rig = await startRig();
    const gate = Promise.withResolvers<undefined>();
    rig.driver.script(answer({ text: ['Hel'], hold: gate.promise }));
    const seen: string[] = [];
    const stream = rig.client.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
    for await (const { event } of stream) {
      seen.push(event?.payload.case ?? '');
      // Would wait for ever if deltas were held back until the answer is committed.
      if (event?.payload.case === 'textDelta') gate.resolve(undefined);
    }
    expect(seen).toContain('textDelta');
    expect(seen.at(-1)).toBe('turnEnded');
    await expectSound(rig, 'a1');
  });

  test('goes on from what was said before', async () => {
    await using rig = await startRig({ parts: { systemPrompt: 'Be kind.' } });
    rig.driver.script(answer({ text: ['one'] }), answer({ text: ['two'] }));
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'first' } });
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'second' } });
    expect(rig.driver.requests[1]).toMatchObject({
      model: SCRIPTED_MODEL,
      system: 'Be kind.',
      maxOutputTokens: 8192,
    });
    expect(rig.driver.requests[1]!.history.map(({ position, body }) => [position, body.case])).toEqual([
      [1, 'user'],
      [2, 'assistant'],
      [3, 'user'],
    ]);
    await expectSound(rig, 'a1');
  });

  test('runs on the options of its request', async () => {
    await using rig = await startRig();
    rig.driver.script(answer({ text: ['one'] }));
    const options = { model: 'claude-opus-4-5', maxOutputTokens: 7 };
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' }, options });
    expect(rig.driver.requests[0]).toMatchObject({ model: 'claude-opus-4-5', maxOutputTokens: 7 });
    await expectSound(rig, 'a1');
  });
});

describe('tools', () => {
  test('run between two calls of the model', async () => {
    const seen: unknown[] = [];
    await using rig = await startRig({
      tools: {
        echo: async ({ text }, { onOutput, ...context }) => {
          const { tenantId, agentId, projectPath, workingDirectory } = context;
          seen.push({ tenantId, agentId, projectPath, workingDirectory });
          onOutput('out');
          return { content: String(text), workingDirectory: 'sub' };
        },
      },
    });
    rig.driver.script(
      answer({ text: ['Look:'], calls: [call('c1', 'x')] }),
      answer({ calls: [call('c2', 'y')] }),
      answer({ text: ['Done'] }),
    );
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'go' } });
    const toolRound = ['toolExecuting', 'toolOutputDelta', 'toolCompleted', 'message toolResult'];
    const answerEnd = ['messageDelta', 'messageStop', 'message assistant'];
    expect(kinds(events)).toEqual([
      'turnAccepted',
      'turnStarted',
      'message user',
      ...['thinking', 'messageStart', 'responding', 'textDelta'],
      ...['toolUseStart', 'inputJsonDelta', 'toolUseStop', ...answerEnd, 'toolPlanned'],
      ...toolRound,
      ...['thinking', 'messageStart', 'responding'],
      ...['toolUseStart', 'inputJsonDelta', 'toolUseStop', ...answerEnd, 'toolPlanned'],
      ...toolRound,
      ...['thinking', 'messageStart', 'responding', 'textDelta', ...answerEnd],
      'turnEnded',
    ]);
    expect(events.find(({ payload }) => payload.case === 'toolPlanned')?.payload.value).toMatchObject({
      toolCallId: 'c1',
      name: 'echo',
      inputJson: '{"text":"x"}',
    });
    expect(seen).toEqual(
      ['', 'sub'].map((workingDirectory) => ({
        tenantId: 'default',
        agentId: 'a1',
        projectPath: '/project',
        workingDirectory,
      })),
    );
    expect(events.at(-1)!.payload.value).toMatchObject({
      stopReason: StopReason.END_TURN,
      usage: { inputTokens: 300n, outputTokens: 30n },
      costMicroUsd: 3n * ANSWER_COST,
    });
    const { turns } = await rig.client.listTurns({ agentId: 'a1' });
    expect(turns[0]!.stats).toMatchObject({
      toolCalls: 2,
      modelAttempts: 3,
      priceTableVersion: expect.stringMatching(/^genai-prices /),
      estimated: false,
    });
    expect(turns[0]!.stats!.ttftMs).toBeDefined();
    await expectSound(rig, 'a1');
  });

  test('of one answer get their results in the order of the calls', async () => {
    await using rig = await startRig({ tools: { echo } });
    rig.driver.script(answer({ calls: [call('c1', 'x'), call('c2', 'y')] }), answer({ text: ['Done'] }));
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'go' } });
    const results = rig.driver.requests[1]!.history.slice(2).map(({ body }) => body.value);
    expect(results).toMatchObject([
      { toolCallId: 'c1', content: 'x', outcome: ToolOutcome.OK },
      { toolCallId: 'c2', content: 'y', outcome: ToolOutcome.OK },
    ]);
    await expectSound(rig, 'a1');
  });

  test.each([
    ['fails', 'echo', ToolOutcome.ERROR, 'no such file'],
    ['does not exist', 'other', ToolOutcome.ERROR, 'There is no tool "other"'],
    ['breaks', 'broken', ToolOutcome.UNKNOWN, 'may have taken effect'],
  ])('the model is told when one %s', async (_, name, outcome, content) => {
    await using rig = await startRig({
      tools: {
        echo: async () => ({ content: 'no such file', isError: true, outcome: 'ERROR' }),
        broken: async () => {
          throw new Error('a bug');
        },
      },
    });
    rig.driver.script(answer({ calls: [{ id: 'c1', name, input: '' }] }), answer({ text: ['Sorry'] }));
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'go' } });
    expect(kinds(events)).toEqual(expect.arrayContaining(['toolFailed', 'message toolResult', 'turnEnded']));
    expect(rig.driver.requests[1]!.history.at(-1)!.body.value).toMatchObject({
      toolCallId: 'c1',
      isError: true,
      outcome,
      content: expect.stringContaining(content),
    });
    await expectSound(rig, 'a1');
  });

  test('do not run where the project folder cannot be opened', async () => {
    let ran = false;
    await using rig = await startRig({
      tools: {
        echo: async () => {
          ran = true;
          return { content: '' };
        },
      },
      parts: { openProject: () => Promise.reject(new Error('EACCES')) },
    });
    rig.driver.script(answer({ calls: [call('c1', 'x')] }), answer({ text: ['Sorry'] }));
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'go' } });
    expect(rig.driver.requests[1]!.history.at(-1)!.body.value).toMatchObject({
      outcome: ToolOutcome.ERROR,
      content: expect.stringContaining('did not run'),
    });
    expect(ran).toBe(false);
    await expectSound(rig, 'a1');
  });

  test('asked for in an answer that was cut never run, and are answered once all the same', async () => {
    await using rig = await startRig({ tools: { echo } });
    const cutCall = { ...call('c2', 'y'), cut: true };
    rig.driver.script(
      answer({ text: ['Look:'], calls: [call('c1', 'x'), cutCall], stopReason: StopReason.MAX_TOKENS }),
      answer({ text: ['Done'] }),
    );
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'go' } });
    expect(kinds(events).slice(-3)).toEqual(['message assistant', 'message toolResult', 'turnEnded']);
    expect(kinds(events)).not.toContain('toolExecuting');
    expect(events.at(-1)!.payload.value).toMatchObject({ stopReason: StopReason.MAX_TOKENS });
    const { messages } = await rig.client.listMessages({ agentId: 'a1' });
    expect(messages.map(({ body }) => body.case)).toEqual(['user', 'assistant', 'toolResult']);
    expect(messages[2]!.body.value).toMatchObject({ toolCallId: 'c1', outcome: ToolOutcome.ERROR });
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'go on' } });
    await expectSound(rig, 'a1');
  });

  test('stop at the limit of model calls', async () => {
    await using rig = await startRig({ tools: { echo } });
    rig.driver.script(answer({ calls: [call('c1', 'x')] }), answer({ calls: [call('c2', 'y')] }));
    const events = await rig.receive({
      agentId: 'a1',
      input: { case: 'text', value: 'go' },
      options: { maxIterations: 2 },
    });
    expect(kinds(events).slice(-2)).toEqual(['message toolResult', 'turnEnded']);
    expect(events.at(-1)!.payload.value).toMatchObject({ stopReason: StopReason.ITERATION_LIMIT });
    await expectSound(rig, 'a1');
  });
});

test('a reason to stop that is not known is an end', async () => {
  await using rig = await startRig();
  rig.driver.script(answer({ text: ['Hm'], stopReason: StopReason.UNSPECIFIED }));
  const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
  expect(events.at(-1)!.payload.value).toMatchObject({ stopReason: StopReason.END_TURN });
  await expectSound(rig, 'a1');
});

test('a tool of the provider that pauses is called on', async () => {
  await using rig = await startRig();
  rig.driver.script(
    answer({ text: ['Searching'], stopReason: StopReason.TOOL_USE }),
    answer({ text: ['Found'] }),
  );
  const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
  expect(kinds(events).filter((kind) => kind === 'message assistant')).toHaveLength(2);
  await expectSound(rig, 'a1');
});

describe('a failing model', () => {
  test('is asked again, and what it had said is void', async () => {
    await using rig = await startRig();
    const fail = driverError('MODEL_OVERLOADED', true);
    rig.driver.script(answer({ text: ['Hal'], fail }), [fail], answer({ text: ['Hello'] }));
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
    expect(
      logged(events)
        .slice(2)
        .map(({ attempt, payload }) => [attempt, payload.case]),
    ).toEqual([
      [1, 'thinking'],
      [1, 'messageStart'],
      [1, 'responding'],
      [1, 'textDelta'],
      [1, 'errorOccurred'],
      [2, 'stepRestarted'],
      [2, 'thinking'],
      [2, 'errorOccurred'],
      [3, 'stepRestarted'],
      [3, 'thinking'],
      [3, 'messageStart'],
      [3, 'responding'],
      [3, 'textDelta'],
      [3, 'messageDelta'],
      [3, 'messageStop'],
      [3, 'message'],
      [3, 'turnEnded'],
    ]);
    const restarted = events.find(({ payload }) => payload.case === 'stepRestarted');
    expect(restarted!.payload.value).toMatchObject({ attempt: 2, reason: 'MODEL_OVERLOADED' });
    // The first attempt is paid for as far as it came.
    const { turns } = await rig.client.listTurns({ agentId: 'a1' });
    expect(turns[0]!.stats).toMatchObject({
      usage: { inputTokens: 200n, outputTokens: 11n },
      wastedUsage: { inputTokens: 100n, outputTokens: 1n },
      costMicroUsd: ANSWER_COST + 315n,
      modelAttempts: 3,
    });
    const { steps } = await rig.client.listSteps({ agentId: 'a1', turnId: events[0]!.turnId });
    expect(steps.map(({ kind }) => (kind.value as { status: AttemptStatus }).status)).toEqual([
      AttemptStatus.FAILED,
      AttemptStatus.FAILED,
      AttemptStatus.COMMITTED,
    ]);
    await expectSound(rig, 'a1');
  });

  test('ends the turn after three attempts', async () => {
    await using rig = await startRig();
    const fail = driverError('MODEL_OVERLOADED', true);
    rig.driver.script([fail], [fail], [fail], answer({ text: ['back'] }));
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
    expect(rig.driver.requests).toHaveLength(3);
    expect(kinds(events).slice(-2)).toEqual(['message error', 'turnEnded']);
    expect(events.at(-1)!.payload.value).toMatchObject({
      stopReason: StopReason.ERROR,
      reason: 'MODEL_OVERLOADED',
      message: 'MODEL_OVERLOADED: try again later',
    });
    const { turns } = await rig.client.listTurns({ agentId: 'a1' });
    expect(turns[0]).toMatchObject({
      stopReason: StopReason.ERROR,
      error: { reason: 'MODEL_OVERLOADED', recoverable: true },
    });
    // What failed does not stand in the way of the next message.
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi again' } });
    await expectSound(rig, 'a1');
  });

  test('ends the turn at once where asking again cannot help', async () => {
    await using rig = await startRig({ tools: { echo } });
    rig.driver.script(
      answer({ calls: [call('c1', 'x')] }),
      answer({ text: ['H'], fail: driverError('MODEL_AUTHENTICATION', false) }),
    );
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
    expect(rig.driver.requests).toHaveLength(2);
    expect(kinds(events).slice(-3)).toEqual(['errorOccurred', 'message error', 'turnEnded']);
    expect(events.at(-1)!.payload.value).toMatchObject({ reason: 'MODEL_AUTHENTICATION' });
    const { messages } = await rig.client.listMessages({ agentId: 'a1' });
    expect(messages.at(-1)!.body).toMatchObject({
      case: 'error',
      value: { reason: 'MODEL_AUTHENTICATION', recoverable: false },
    });
    const { turns } = await rig.client.listTurns({ agentId: 'a1' });
    expect(turns[0]!.stats!.priceTableVersion).toMatch(/^genai-prices /);
    await expectSound(rig, 'a1');
  });

  test('whose driver has a bug ends the turn without telling internals', async () => {
    await using rig = await startRig();
    rig.driver.script([new TypeError('secret detail')]);
    const events = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'hi' } });
    expect(events.at(-1)!.payload.value).toMatchObject({ stopReason: StopReason.ERROR, reason: 'INTERNAL' });
    expect(JSON.stringify(events.map(plain))).not.toContain('secret');
    await expectSound(rig, 'a1');
  });
});

describe('what is asked about turns', () => {
  test('turns, steps, messages and usage tell the same story', async () => {
    await using rig = await startRig({ tools: { echo } });
    rig.driver.script(
      answer({ calls: [call('c1', 'x')] }),
      answer({ text: ['Done'] }),
      answer({ text: ['Two'] }),
    );
    const [accepted] = await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'go' } });
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'more' } });
    await expectSound(rig, 'a1');

    const { turns } = await rig.client.listTurns({ agentId: 'a1' });
    expect(turns).toHaveLength(2);
    const { turn } = await rig.client.getTurn({ agentId: 'a1', turnId: accepted!.turnId });
    expect(turn).toEqual(turns[1]);
    expect(turn).toMatchObject({ status: TurnStatus.ENDED, engineId: 'engine-1', firstPosition: 1 });
    const { steps } = await rig.client.listSteps({ agentId: 'a1', turnId: accepted!.turnId });
    expect(steps.map(({ step, kind }) => [step, kind.case])).toEqual([
      [1, 'modelAttempt'],
      [1, 'toolRun'],
      [2, 'modelAttempt'],
    ]);
    expect(steps[0]!.kind.value).toMatchObject({ usage: ANSWER_USAGE, costMicroUsd: ANSWER_COST });

    const page = await rig.client.listMessages({ agentId: 'a1', pageSize: 4 });
    expect(page.messages).toHaveLength(4);
    const { messages } = await rig.client.listMessages({ agentId: 'a1', pageToken: page.nextPageToken });
    expect(messages.map(({ position }) => position)).toEqual([5, 6]);

    const usage = await rig.client.getUsage({ agentId: 'a1', groupBy: UsageGroupBy.MODEL });
    expect(usage.total).toMatchObject({
      turns: 2n,
      usage: { inputTokens: 300n, outputTokens: 30n },
      costMicroUsd: 3n * ANSWER_COST,
      unpricedTurns: 0n,
    });
    expect(usage.groups).toMatchObject([{ key: SCRIPTED_MODEL, turns: 2n }]);
  });

  test('clearing empties the history and keeps turns', async () => {
    await using rig = await startRig();
    rig.driver.script(answer({ text: ['one'] }), answer({ text: ['two'] }));
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'first' } });
    expect(await rig.client.clearMessages({ agentId: 'a1' })).toMatchObject({ cleared: 2 });
    await rig.receive({ agentId: 'a1', input: { case: 'text', value: 'second' } });
    expect(rig.driver.requests[1]!.history.map(({ position }) => position)).toEqual([3]);
    expect((await rig.client.listTurns({ agentId: 'a1' })).turns).toHaveLength(2);
  });

  test('nothing is known of an agent that was never made', async () => {
    await using rig = await startRig({ engine: { autoCreateAgents: false } });
    const agentId = 'nobody';
    const calls = [
      rig.receive({ agentId, input: { case: 'text', value: 'hi' } }),
      rig.subscribe({ agentId }),
      rig.client.getTurn({ agentId, turnId: 't' }),
      rig.client.listTurns({ agentId }),
      rig.client.listSteps({ agentId, turnId: 't' }),
      rig.client.listMessages({ agentId }),
      rig.client.clearMessages({ agentId }),
      rig.client.getUsage({ agentId }),
    ];
    for (const outcome of await Promise.allSettled(calls)) {
      const { reason } = outcome as { reason?: unknown };
      expect([codeOf(reason), reasonOf(reason)]).toEqual([Code.NotFound, 'AGENT_NOT_FOUND']);
    }
  });
});
