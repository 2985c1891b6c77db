import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { AttemptStatus, ToolRunStatus, TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { UsageGroupBy } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import {
  bounded,
  casesOf,
  checkStored,
  collect,
  collectUntil,
  eventsToJson,
  hold,
  logged,
  onlyPayload,
  payloadsOf,
  processesWith,
  readInParts,
  readSqlite,
  startDesktop,
  startScriptedModel,
  streamedText,
  temporaryFolder,
  text,
  toolUse,
  waitFor,
  waitForOutbox,
} from '@agentx/testing';
import type { Desktop, EventStream, ScriptedModel, TemporaryFolder } from '@agentx/testing';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const AGENT = 'survivor';

let model: ScriptedModel;
let folder: TemporaryFolder;
let desktop: Desktop;

beforeEach(async () => {
  model = await startScriptedModel();
  folder = await temporaryFolder();
});

afterEach(async () => {
  await desktop.stop();
  await model.close();
  await folder.remove();
});

async function start(env: NodeJS.ProcessEnv = {}): Promise<void> {
  desktop = await startDesktop({
    folder: folder.path,
    env: { ANTHROPIC_API_KEY: 'sk-test', ANTHROPIC_BASE_URL: model.url, ...env },
  });
}

const say = (value: string, requestId: string) =>
  desktop.engine.receive({ agentId: AGENT, requestId, input: { case: 'text', value } }, bounded());

const follow = (turnId: string, afterCursor = '') =>
  collect(desktop.engine.subscribe({ agentId: AGENT, turnId, afterCursor, follow: true }, bounded()));

/** The stream up to its second piece of text; then the process is killed and started again. */
async function killAfter(stream: EventStream, isLast: (event: AgentEvent) => boolean): Promise<AgentEvent[]> {
  const seen = await collectUntil(stream, isLast);
  await desktop.kill();
  await start();
  return seen;
}

/** A next turn works, sees what it must of the one before, and what is stored is sound. */
async function goOn(acknowledged: string[]): Promise<void> {
  model.push(text('Still here.'));
  const next = await collect(say('Go on.', 'next'));
  expect(streamedText(next)).toBe('Still here.');
  expect(onlyPayload(next, 'turnEnded').stopReason).toBe(StopReason.END_TURN);
  expect(model.rejections).toEqual([]);
  expect(model.scriptErrors).toEqual([]);
  await waitForOutbox(() => readSqlite(desktop.databases));
  await checkOverApi();
  await desktop.stop();
  expect(checkStored(readSqlite(desktop.databases), { [AGENT]: [...acknowledged, 'next'] })).toEqual([]);
}

/** I2, I4 and I6 as a client sees them. */
async function checkOverApi(): Promise<void> {
  const log = await collect(desktop.engine.subscribe({ agentId: AGENT }, bounded()));
  const numbers = log.map(({ cursor }) => parseInt(cursor.split('.')[1] ?? '', 36));
  expect(numbers).toEqual(log.map((_, index) => index + 1));

  const { messages } = await desktop.engine.listMessages({ agentId: AGENT });
  const calls = messages.flatMap(({ body }) =>
    body.case === 'assistant'
      ? body.value.content.flatMap(({ part }) => (part.case === 'toolUse' ? [part.value.toolCallId] : []))
      : [],
  );
  const results = messages.flatMap(({ body }) => (body.case === 'toolResult' ? [body.value.toolCallId] : []));
  expect(results).toEqual(calls);

  const usage = await desktop.engine.getUsage({ agentId: AGENT, groupBy: UsageGroupBy.TURN });
  const { turns } = await desktop.engine.listTurns({ agentId: AGENT });
  expect(usage.groups.map(({ key, turns }) => [key, turns])).toEqual(
    turns.map(({ turnId }) => [turnId, 1n]).sort(([one], [other]) => (one! < other! ? -1 : 1)),
  );
  expect(usage.total?.turns).toBe(2n);
}

test('killed amid the text: the turn ends with ENGINE_LOST, and the conversation goes on', async () => {
  await start();
  const never = new Promise(() => undefined);
  // message_start, content_block_start, ping and two pieces come through.
  model.push(hold(text('one two three', { chunks: ['one ', 'two ', 'three'] }), never, 5));
  const seen = await killAfter(
    say('Count.', 'counting'),
    ({ payload }) => payload.case === 'textDelta' && payload.value.text === 'two ',
  );
  const turnId = seen[0]!.turnId;

  const events = await follow(turnId);
  const last = casesOf(events).slice(-2);
  expect(last).toEqual(['message', 'turnEnded']);
  expect(onlyPayload(events, 'turnEnded')).toMatchObject({
    stopReason: StopReason.ERROR,
    reason: 'ENGINE_LOST',
    message: expect.stringContaining('send a new message'),
  });
  // What was told as a fact before stays one; deltas that had not been written yet are gone.
  const facts = logged(seen).filter(({ payload }) => payload.case !== 'textDelta');
  expect(eventsToJson(events).slice(0, facts.length - 2)).toEqual(eventsToJson(facts).slice(0, -2));
  // A client that holds the last cursor it saw is told the rest, and only the rest.
  const rest = await follow(turnId, seen.at(-1)!.cursor);
  expect(casesOf(rest)).toEqual(['message', 'turnEnded']);

  const { turn } = await desktop.engine.getTurn({ agentId: AGENT, turnId });
  expect(turn).toMatchObject({
    status: TurnStatus.ENDED,
    stopReason: StopReason.ERROR,
    error: { reason: 'ENGINE_LOST', recoverable: true },
  });
  const { steps } = await desktop.engine.listSteps({ agentId: AGENT, turnId });
  expect(steps.map(({ kind }) => kind.case === 'modelAttempt' && kind.value.status)).toEqual([
    AttemptStatus.ABANDONED,
  ]);
  await goOn(['counting']);
  // The answer was never whole: the model is told both of the user's messages and nothing in between.
  expect(model.requests.at(-1)!.body.messages).toMatchObject([
    { role: 'user', content: [{ text: 'Count.' }, { text: 'Go on.' }] },
  ]);
});

test('killed while bash runs: its result is UNKNOWN, its processes are gone, and it never runs again', async () => {
  await start();
  const marker = `1000${Date.now()}`;
  const running = toolUse('bash', { command: `echo once >> effects.txt; echo begun; sleep ${marker}` });
  const waiting = toolUse('bash', { command: 'echo never > never.txt' });
  model.push([text('I try.'), running, waiting]);
  const seen = await collectUntil(say('Try.', 'trying'), ({ payload }) => payload.case === 'toolOutputDelta');
  const turnId = seen[0]!.turnId;
  await waitFor(() => processesWith(`sleep ${marker}`).length > 0, { what: 'the command to sleep' });
  await desktop.kill();
  await waitFor(() => processesWith(marker).length === 0, { what: 'the sandbox to be gone' });
  await start();

  const events = await follow(turnId);
  expect(onlyPayload(events, 'turnEnded')).toMatchObject({
    stopReason: StopReason.ERROR,
    reason: 'ENGINE_LOST',
  });
  const { messages } = await desktop.engine.listMessages({ agentId: AGENT });
  expect(messages.map(({ body }) => body.case)).toEqual([
    'user',
    'assistant',
    'toolResult',
    'toolResult',
    'error',
  ]);
  const asked = messages[1]!.messageId;
  expect(messages.slice(2, 4)).toMatchObject([
    {
      parentId: asked,
      body: { value: { toolCallId: running.id, isError: true, outcome: ToolOutcome.UNKNOWN } },
    },
    {
      parentId: asked,
      body: { value: { toolCallId: waiting.id, isError: true, outcome: ToolOutcome.ERROR } },
    },
  ]);
  const { steps } = await desktop.engine.listSteps({ agentId: AGENT, turnId });
  expect(
    steps.map(({ kind }) => (kind.case === 'toolRun' ? [kind.value.status, kind.value.outcome] : kind.case)),
  ).toEqual([
    'modelAttempt',
    [ToolRunStatus.FINISHED, ToolOutcome.UNKNOWN],
    [ToolRunStatus.FINISHED, ToolOutcome.ERROR],
  ]);
  expect(readFileSync(join(desktop.project(AGENT), 'effects.txt'), 'utf8')).toBe('once\n');
  expect(existsSync(join(desktop.project(AGENT), 'never.txt'))).toBe(false);

  await goOn(['trying']);
  // The next request answers both calls, in their order, and says what is not known.
  expect(model.requests.at(-1)!.body.messages.at(-1)).toMatchObject({
    role: 'user',
    content: [
      {
        type: 'tool_result',
        tool_use_id: running.id,
        is_error: true,
        content: expect.stringContaining('may have taken effect'),
      },
      {
        type: 'tool_result',
        tool_use_id: waiting.id,
        is_error: true,
        content: expect.stringContaining('did not run'),
      },
      { type: 'text', text: 'Go on.' },
    ],
  });
});

test('killed right after the turn ended: it is counted once all the same', async () => {
  await start();
  model.push(text('Done.'));
  const seen = await killAfter(say('Do it.', 'doing'), ({ payload }) => payload.case === 'turnEnded');
  expect(eventsToJson(await follow(seen[0]!.turnId))).toEqual(eventsToJson(logged(seen)));
  await goOn(['doing']);
});

describe('SIGTERM', () => {
  test('lets a turn end that ends in time', async () => {
    await start({ AGENTX_DRAIN_MS: '15000' });
    const gate = Promise.withResolvers<undefined>();
    model.push(hold(text('one two', { chunks: ['one ', 'two'] }), gate.promise, 4));
    const stream = collect(say('Count.', 'counting'));
    await model.waitForRequest(1);
    desktop.process.kill('SIGTERM');
    await desktop.process.waitForLine(/"msg":"ending"/);
    gate.resolve(undefined);
    const events = await stream;
    expect(streamedText(events)).toBe('one two');
    expect(onlyPayload(events, 'turnEnded').stopReason).toBe(StopReason.END_TURN);
    expect(await desktop.process.exited).toEqual({ code: 0, signal: null });
    await start();
    await goOn(['counting']);
  });

  test('ends a turn that goes on for too long, and says so', async () => {
    await start({ AGENTX_DRAIN_MS: '0' });
    const marker = `2000${Date.now()}`;
    const sleeping = toolUse('bash', { command: `echo begun; sleep ${marker}` });
    model.push(sleeping);
    const stream = readInParts(say('Sleep.', 'sleeping'));
    const before = await stream.until(({ payload }) => payload.case === 'toolOutputDelta');
    desktop.process.kill('SIGTERM');
    const after = await stream.rest();
    expect(await desktop.process.exited).toEqual({ code: 0, signal: null });
    expect(processesWith(marker)).toEqual([]);
    expect(onlyPayload(after, 'toolFailed')).toMatchObject({
      toolCallId: sleeping.id,
      outcome: ToolOutcome.INTERRUPTED,
    });
    expect(onlyPayload(after, 'turnEnded')).toMatchObject({
      stopReason: StopReason.ERROR,
      reason: 'ENGINE_STOPPED',
      message: expect.stringContaining('send the message again'),
    });
    await start();
    const stored = await follow(before[0]!.turnId);
    expect(eventsToJson(stored)).toEqual(eventsToJson(logged([...before, ...after])));
    expect(payloadsOf(stored, 'message').map(({ body }) => body.case)).toEqual([
      'user',
      'assistant',
      'toolResult',
      'error',
    ]);
    await goOn(['sleeping']);
  });
});
