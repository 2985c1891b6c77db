import { describe, expect, test } from '@jest/globals';
import { Code } from '@connectrpc/connect';
import { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { AttemptStatus, TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { codeOf, reasonOf } from '@agentx/service-kit';
import { temporaryFolder, waitFor } from '@agentx/testing';
import { answer, driverError } from './driver/scripted.fixtures.ts';
import { openTestStores, startRig, startTestEngine } from './engine.fixtures.ts';
import type { TestEngine, ToolScript } from './engine.fixtures.ts';
import { asJson, expectSound, kinds, logged } from './invariants.fixtures.ts';
import { PRICE_TABLE_VERSION } from './pricing/price-table-version.ts';

const says = (value: string) => ({ case: 'text', value }) as const;
const call = (id: string, text: string) => ({ id, name: 'tool', input: JSON.stringify({ text }) });
const echo: ToolScript = async ({ text }) => ({ content: String(text) });

/** A tool that runs until it is stopped. */
const endless: ToolScript = (_, { signal }) =>
  new Promise((resolve) => {
    const stop = () => {
      resolve({ content: 'Stopped.', isError: true, outcome: 'INTERRUPTED' });
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
  });

const turnEnded = (on: TestEngine, agentId: string) =>
  waitFor(
    async () =>
      (await on.client.listTurns({ agentId })).turns.find(({ status }) => status === TurnStatus.ENDED),
    { what: 'the turn to end' },
  );

describe('stopping the engine', () => {
  test('waits for the turns that run, and accepts no more', async () => {
    await using rig = await startRig();
    const gate = Promise.withResolvers<undefined>();
    rig.driver.script(answer({ text: ['Hello'], hold: gate.promise }));
    let drained: Promise<void> | undefined;
    const events = [];
    for await (const { event } of rig.client.receive({ agentId: 'a1', input: says('hi') })) {
      events.push(event!);
      if (event!.payload.case !== 'textDelta') continue;
      drained = rig.engine.drain(60_000);
      const refused: unknown = await rig
        .receive({ agentId: 'a2', input: says('hi') })
        .catch((error: unknown) => error);
      expect([codeOf(refused), reasonOf(refused)]).toEqual([Code.Unavailable, 'DRAINING']);
      gate.resolve(undefined);
    }
    await drained;
    expect(events.at(-1)!.payload.value).toMatchObject({ stopReason: StopReason.END_TURN });
    await expectSound(rig, 'a1');
  });

  test.each([
    ['the model answers', [], 'textDelta', []],
    ['a tool runs', ['c1'], 'toolExecuting', [ToolOutcome.INTERRUPTED]],
    [
      'the first of two tools runs',
      ['c1', 'c2'],
      'toolExecuting',
      [ToolOutcome.INTERRUPTED, ToolOutcome.ERROR],
    ],
  ])('ends the turn in which %s', async (_, calls, at, outcomes) => {
    await using rig = await startRig({ tools: { tool: endless } });
    rig.driver.script(
      answer({
        text: ['Hello'],
        calls: calls.map((id) => call(id, 'x')),
        ...(calls.length === 0 && { hold: new Promise(() => undefined) }),
      }),
    );
    const events = [];
    for await (const { event } of rig.client.receive({ agentId: 'a1', input: says('hi') })) {
      events.push(event!);
      if (event!.payload.case === at) void rig.engine.drain(0);
    }
    expect(events.at(-1)!.payload.value).toMatchObject({
      stopReason: StopReason.ERROR,
      reason: 'ENGINE_STOPPED',
    });
    const { messages } = await rig.client.listMessages({ agentId: 'a1' });
    const results = messages.flatMap(({ body }) => (body.case === 'toolResult' ? [body.value.outcome] : []));
    expect(results).toEqual(outcomes);
    expect(messages.at(-1)!.body.value).toMatchObject({ reason: 'ENGINE_STOPPED', recoverable: true });
    const { turns } = await rig.client.listTurns({ agentId: 'a1' });
    expect(turns[0]!.stats).toMatchObject({ modelAttempts: 1 });
    await expectSound(rig, 'a1');
  });

  test('ends a turn that waits to ask the model again', async () => {
    await using rig = await startRig();
    rig.driver.script([driverError('MODEL_OVERLOADED', true)]);
    const events = [];
    for await (const { event } of rig.client.receive({ agentId: 'a1', input: says('hi') })) {
      events.push(event!);
      if (event!.payload.case === 'errorOccurred') void rig.engine.drain(0);
    }
    expect(events.at(-1)!.payload.value).toMatchObject({ reason: 'ENGINE_STOPPED' });
    await expectSound(rig, 'a1');
  });

  test('comes to an end even while the session store cannot be reached', async () => {
    await using rig = await startRig({ engine: { leaseTtlMs: 3000 } });
    rig.driver.script(answer({ text: ['Hello'], hold: new Promise(() => undefined) }));
    const received = rig.receive({ agentId: 'a1', input: says('hi') });
    await waitFor(() => rig.driver.requests.length === 1, { what: 'the call of the model' });
    rig.lines.session.failNext('appendEvents', Infinity);
    rig.lines.session.failNext('renewLease', Infinity);
    rig.lines.session.failNext('endTurn', Infinity);
    await rig.engine.drain(0);
    expect(rig.engine.running.size).toBe(0);
    for (const method of ['appendEvents', 'renewLease', 'endTurn']) rig.lines.session.failNext(method, 0);

    // Whoever comes next ends the turn, and the client is told by the log.
    const next = startTestEngine(rig.testStores);
    const events = await received;
    expect(events.at(-1)!.payload.value).toMatchObject({ reason: 'ENGINE_LOST' });
    await expectSound(next, 'a1');
    await next.stop();
  });
});

describe('an engine that dies', () => {
  test.each([
    ['amid an answer', 'assistantCommitted', '', []],
    ['after an answer', 'toolStarted', 'c1', [ToolOutcome.ERROR, ToolOutcome.ERROR]],
    ['while a tool runs', 'toolFinished', 'c1', [ToolOutcome.UNKNOWN, ToolOutcome.ERROR]],
    ['after a tool', 'toolStarted', 'c2', [ToolOutcome.OK, ToolOutcome.ERROR]],
    ['at the end', 'endTurn', '', [ToolOutcome.OK, ToolOutcome.OK]],
  ])('%s leaves a turn that another ends, with a history that can be sent', async (...row) => {
    const [, point, toolCallId, outcomes] = row;
    await using folder = await temporaryFolder();
    const before = await openTestStores(folder.path);
    const dead = startTestEngine(before, { tools: { tool: echo } });
    dead.driver.script(
      answer({ text: ['Hello'], calls: [call('c1', 'x'), call('c2', 'y')] }),
      answer({ text: ['Done'] }),
    );
    // From here on it changes nothing any more.
    const died = dead.lines.session.cutBefore((method, request) => {
      const { step } = request as { step?: { case: string; value: { toolCallId?: string } } };
      return method === point || (step?.case === point && (step.value.toolCallId ?? '') === toolCallId);
    });
    const leaving = new AbortController();
    const received = dead
      .receive({ agentId: 'a1', requestId: 'r1', input: says('hi') }, { signal: leaving.signal })
      .catch((error: unknown) => codeOf(error));
    await died;
    leaving.abort();
    expect(await received).toBe(Code.Canceled);
    await before.close();

    await using after = await openTestStores(folder.path);
    const heir = startTestEngine(after, { engine: { engineId: 'engine-2' } });
    const turn = await turnEnded(heir, 'a1');
    expect(turn).toMatchObject({
      stopReason: StopReason.ERROR,
      engineId: 'engine-2',
      error: { reason: 'ENGINE_LOST', recoverable: true },
      stats: { estimated: point === 'assistantCommitted' || point === 'endTurn' },
    });
    const { messages } = await heir.client.listMessages({ agentId: 'a1' });
    const results = messages.flatMap(({ body }) => (body.case === 'toolResult' ? [body.value] : []));
    expect(results.map(({ outcome }) => outcome)).toEqual(outcomes);

    // The same request attaches to the ended turn; the next one goes on from the mended history.
    const events = await heir.receive({ agentId: 'a1', requestId: 'r1', input: says('hi') });
    expect(events.at(-1)!.payload.value).toMatchObject({
      stopReason: StopReason.ERROR,
      reason: 'ENGINE_LOST',
    });
    heir.driver.script(answer({ text: ['Back'] }));
    await heir.receive({ agentId: 'a1', input: says('go on') });
    await expectSound(heir, 'a1');
    const { steps } = await heir.client.listSteps({ agentId: 'a1', turnId: turn.turnId });
    const attempt = steps[0]!.kind.value as { status: AttemptStatus };
    const cut = point === 'assistantCommitted';
    expect(attempt.status).toBe(cut ? AttemptStatus.ABANDONED : AttemptStatus.COMMITTED);
    // One answer of each kind was committed, and nothing is known of another that was not.
    expect(turn.stats?.costMicroUsd).toBe(cut ? undefined : 450n);
    expect(turn.stats?.priceTableVersion).toBe(cut ? '' : PRICE_TABLE_VERSION);

    await heir.stop();
    dead.lines.session.fence();
    await dead.engine.drain(0);
    await dead.stop();
  });

  test('only for the others is fenced when it comes back, and its readers follow the log', async () => {
    await using rig = await startRig({ engine: { leaseTtlMs: 2000 }, tools: { tool: endless } });
    rig.driver.script(answer({ text: ['Hello'], calls: [call('c1', 'x')] }));
    const heir = startTestEngine(rig.testStores, { engine: { engineId: 'engine-2' } });
    const events = [];
    let late: Promise<unknown[]> | undefined;
    for await (const { event } of rig.client.receive({ agentId: 'a1', input: says('hi') })) {
      events.push(event!);
      if (event!.payload.case === 'toolExecuting') {
        rig.lines.session.cut();
        await turnEnded(heir, 'a1');
        rig.lines.session.heal();
        const { turnId } = event!;
        late = rig.subscribe({ agentId: 'a1', turnId, follow: true }).then(asJson);
      }
    }
    expect(events.at(-1)).toMatchObject({
      engineId: 'engine-2',
      payload: { value: { reason: 'ENGINE_LOST' } },
    });
    const log = await heir.subscribe({ agentId: 'a1' });
    expect(asJson(logged(events))).toEqual(asJson(log));
    expect(await late).toEqual(asJson(log));
    await rig.engine.running.allDone();
    await expectSound(heir, 'a1');
    await heir.stop();
  });
});

describe('a store that fails for a while', () => {
  test('costs the turn nothing but time', async () => {
    await using rig = await startRig({ tools: { tool: echo } });
    for (const method of ['commitStep', 'endTurn']) rig.lines.session.failNext(method, 2);
    rig.driver.script(answer({ calls: [call('c1', 'x')] }), answer({ text: ['Done'] }));
    const events = await rig.receive({ agentId: 'a1', input: says('hi') });
    expect(events.at(-1)!.payload.value).toMatchObject({ stopReason: StopReason.END_TURN });
    await expectSound(rig, 'a1');
  });

  test.each(['commitStep', 'appendEvents', 'endTurn'])(
    'and whose answers to %s are lost writes nothing twice',
    async (method) => {
      await using rig = await startRig({ tools: { tool: echo } });
      const gate = Promise.withResolvers<undefined>();
      rig.lines.session.loseNextAnswer(method);
      rig.driver.script(
        answer({ text: ['Look', ':'], calls: [call('c1', 'x')], hold: gate.promise }),
        answer({ text: ['Done'] }),
      );
      const received = rig.receive({ agentId: 'a1', input: says('hi') });
      if (method === 'appendEvents')
        await waitFor(async () => kinds(await rig.subscribe({ agentId: 'a1' })).includes('textDelta'), {
          what: 'deltas in the log',
        });
      gate.resolve(undefined);
      const events = await received;
      expect(events.at(-1)!.payload.value).toMatchObject({ stopReason: StopReason.END_TURN });
      await expectSound(rig, 'a1');
    },
  );

  test('counts each turn once in the end', async () => {
    await using rig = await startRig();
    rig.lines.stats.failNext('addTurn', 2);
    rig.lines.state.failNext('setState', 5);
    rig.driver.script(answer({ text: ['one'] }), answer({ text: ['two'] }));
    await rig.receive({ agentId: 'a1', input: says('hi') });
    await rig.receive({ agentId: 'a1', input: says('hi') });
    await expectSound(rig, 'a1');
    const { state } = await waitFor(
      async () => {
        const answered = await rig.stores.state.getState({ agentId: 'a1' });
        return answered.state?.status === AgentStatus.IDLE ? answered : undefined;
      },
      { what: 'the state to be idle' },
    );
    expect(state).toMatchObject({ epoch: 2n });
  });

  test('counts a turn once although the answer to the count was lost', async () => {
    await using rig = await startRig();
    rig.lines.stats.loseNextAnswer('addTurn');
    rig.lines.session.loseNextAnswer('ackOutbox');
    rig.driver.script(answer({ text: ['one'] }));
    await rig.receive({ agentId: 'a1', input: says('hi') });
    await expectSound(rig, 'a1');
  });

  test('before the message is committed fails the call and leaves nothing behind', async () => {
    await using rig = await startRig();
    rig.lines.session.failNext('beginTurn', 1);
    const failed: unknown = await rig
      .receive({ agentId: 'a1', input: says('hi') })
      .catch((error: unknown) => error);
    expect(codeOf(failed)).toBe(Code.Unavailable);
    expect((await rig.client.listMessages({ agentId: 'a1' })).messages).toEqual([]);
    expect(rig.engine.running.size).toBe(0);
  });

  test('when the history is read ends the turn and says so', async () => {
    await using rig = await startRig();
    rig.lines.session.failNext('getMessages', 1);
    const events = await rig.receive({ agentId: 'a1', input: says('hi') });
    expect(events.at(-1)!.payload.value).toMatchObject({
      stopReason: StopReason.ERROR,
      message: expect.stringContaining('Unavailable'),
    });
    await expectSound(rig, 'a1');
  });
});
