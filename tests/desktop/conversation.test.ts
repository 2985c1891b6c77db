import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { toJson } from '@bufbuild/protobuf';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StepSchema, TurnSchema } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { GetUsageResponseSchema, UsageGroupBy } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import {
  bounded,
  checkStored,
  collect,
  eventsToJson,
  lastText,
  logged,
  onlyPayload,
  payloadsOf,
  readSqlite,
  reply,
  startDesktop,
  startScriptedModel,
  streamedText,
  temporaryFolder,
  text,
  waitForOutbox,
} from '@agentx/testing';
import type { Desktop, ScriptedModel, TemporaryFolder } from '@agentx/testing';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AGENT,
  CACHED,
  CALLS,
  failing,
  FIRST_TURN,
  mend,
  MODEL,
  SAID,
  TURN_COST,
  TURN_USAGE,
  usages,
  withCachePoints,
  working,
  write,
  WRONG_PROGRAM,
} from './calculator.ts';
import type { ScriptedCall } from './calculator.ts';
import { CURSOR, END, expectedEvents, ID, MS, TIME } from './calculator-events.ts';

let model: ScriptedModel;
let folder: TemporaryFolder;
let desktop: Desktop;
/** What the first turn streamed. */
let events: AgentEvent[];
let turnId: string;

beforeAll(async () => {
  model = await startScriptedModel({ apiKey: 'sk-test', replies: CALLS.map(reply) });
  folder = await temporaryFolder();
  desktop = await start();
  events = await collect(
    desktop.engine.receive(
      { agentId: AGENT, requestId: 'first', input: { case: 'text', value: SAID } },
      bounded(),
    ),
  );
  turnId = events[0]?.turnId ?? '';
}, 60_000);

afterAll(async () => {
  await desktop.stop();
  await model.close();
  await folder.remove();
});

function start(port?: number): Promise<Desktop> {
  return startDesktop({
    folder: folder.path,
    ...(port !== undefined && { port }),
    env: { ANTHROPIC_API_KEY: 'sk-test', ANTHROPIC_BASE_URL: model.url, AGENTX_MODEL: MODEL },
  });
}

describe('one turn', () => {
  test('begins with turn_accepted, which is not in the log', () => {
    expect(eventsToJson(events.slice(0, 1))).toEqual([
      {
        agentId: AGENT,
        turnId: ID,
        time: TIME,
        engineId: 'desktop',
        turnAccepted: { requestId: 'first', deduplicated: false },
      },
    ]);
  });

  test('streams every event in order, with all its fields', () => {
    const expected = expectedEvents();
    const actual = eventsToJson(events.slice(1));
    expect(actual.map(({ step, ...rest }) => [step, Object.keys(rest).at(-1)])).toEqual(
      expected.map((json) => [json['step'], Object.keys(json).at(-1)]),
    );
    expect(actual).toEqual(expected);
    const turnIds = events.flatMap((one) => [
      one.turnId,
      ...payloadsOf([one], 'message').map((said) => said.turnId),
    ]);
    expect(new Set(turnIds)).toEqual(new Set([turnId]));
  });

  test('numbers its events: every cursor is there once, and they increase', () => {
    const places = logged(events).map(({ cursor }) => cursor.split('.'));
    expect(new Set(places.map(([epoch, , tag]) => `${epoch} ${tag}`)).size).toBe(1);
    expect(places.map(([, seq]) => parseInt(seq ?? '', 36))).toEqual(places.map((_, index) => index + 1));
    expect(logged(events)).toHaveLength(events.length - 1);
  });

  test('ties each tool result to the message that asked for it', () => {
    const messages = payloadsOf(events, 'message');
    const asking = messages.flatMap(({ messageId, body }) =>
      body.case === 'assistant'
        ? body.value.content.flatMap(({ part }) =>
            part.case === 'toolUse' ? [[part.value.toolCallId, messageId]] : [],
          )
        : [],
    );
    const results = messages.flatMap(({ parentId, body }) =>
      body.case === 'toolResult' ? [[body.value.toolCallId, parentId]] : [],
    );
    expect(results).toEqual(asking);
  });

  test('sends the model the history as it is, with cache points', () => {
    expect(model.rejections).toEqual([]);
    expect(model.scriptErrors).toEqual([]);
    expect(model.requests).toHaveLength(4);
    for (const [index, { path, headers, body }] of model.requests.entries()) {
      expect(path).toBe('/v1/messages');
      expect(headers['x-api-key']).toBe('sk-test');
      expect(body).toEqual({
        model: MODEL,
        max_tokens: 8192,
        stream: true,
        system: [{ type: 'text', text: expect.stringContaining('/project'), ...CACHED }],
        tools: [{ type: 'bash_20250124', name: 'bash', ...CACHED }],
        messages: withCachePoints(FIRST_TURN.slice(0, 2 * index + 1)),
      });
    }
  });

  test('leaves its files in the project folder', async () => {
    expect(await readFile(join(desktop.project(AGENT), 'src/sum.sh'), 'utf8')).toBe(
      WRONG_PROGRAM.replace('sum - n', 'sum + n'),
    );
  });
});

describe('after the process was killed and started again', () => {
  beforeAll(async () => {
    expect((await desktop.kill()).signal).toBe('SIGKILL');
    desktop = await start(desktop.port);
  }, 40_000);

  test('the messages are those that were streamed', async () => {
    const { messages, nextPageToken } = await desktop.engine.listMessages({ agentId: AGENT });
    expect(messages.map((one) => toJson(MessageSchema, one))).toEqual(
      payloadsOf(events, 'message').map((one) => toJson(MessageSchema, one)),
    );
    expect(messages).toHaveLength(9);
    expect(nextPageToken).toBe('');
  });

  test('pages of messages join to the same, both ways', async () => {
    const paged: number[] = [];
    let pageToken = '';
    do {
      const page = await desktop.engine.listMessages({
        agentId: AGENT,
        pageSize: 2,
        pageToken,
        newestFirst: true,
      });
      expect(page.messages.length).toBeLessThanOrEqual(2);
      paged.push(...page.messages.map(({ position }) => position));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(paged).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1]);
  });

  test('the turn is there with its end and its costs', async () => {
    const { turns } = await desktop.engine.listTurns({ agentId: AGENT });
    const { turn } = await desktop.engine.getTurn({ agentId: AGENT, turnId });
    expect(turns.map((one) => toJson(TurnSchema, one))).toEqual([toJson(TurnSchema, turn!)]);
    const ended = onlyPayload(events, 'turnEnded');
    expect(toJson(TurnSchema, turn!)).toEqual({
      turnId,
      agentId: AGENT,
      requestId: 'first',
      status: 'TURN_STATUS_ENDED',
      stopReason: END,
      createTime: TIME,
      startTime: TIME,
      endTime: TIME,
      engineId: 'desktop',
      model: MODEL,
      firstPosition: 1,
      startCursor: CURSOR,
      stats: {
        turnId,
        agentId: AGENT,
        model: MODEL,
        usage: TURN_USAGE,
        costMicroUsd: String(TURN_COST),
        priceTableVersion: expect.stringMatching(/\S/),
        durationMs: String(ended.durationMs),
        ttftMs: MS,
        toolCalls: 4,
        stopReason: END,
        endTime: TIME,
        modelAttempts: 4,
      },
    });
  });

  test('the timeline names every model call and every tool run', async () => {
    const { steps } = await desktop.engine.listSteps({ agentId: AGENT, turnId });
    const common = (step: number) => ({
      turnId,
      step,
      engineId: 'desktop',
      epoch: '1',
      startTime: TIME,
      endTime: TIME,
    });
    const attempt = (step: number) => ({
      ...common(step),
      modelAttempt: {
        attempt: 1,
        model: MODEL,
        status: 'ATTEMPT_STATUS_COMMITTED',
        usage: usages(step - 1).whole,
        costMicroUsd: String(CALLS[step - 1]!.costMicroUsd),
      },
    });
    const run = (step: number, { id, json }: ScriptedCall, outcome: string) => ({
      ...common(step),
      toolRun: {
        toolCallId: id,
        name: 'bash',
        run: 1,
        status: 'TOOL_RUN_STATUS_FINISHED',
        outcome: `TOOL_OUTCOME_${outcome}`,
        inputJson: json,
      },
    });
    expect(steps.map((one) => toJson(StepSchema, one))).toEqual([
      attempt(1),
      run(1, write, 'OK'),
      attempt(2),
      run(2, failing, 'ERROR'),
      attempt(3),
      run(3, mend, 'OK'),
      run(3, working, 'OK'),
      attempt(4),
    ]);
  });

  test('usage is counted once, to the micro-dollar', async () => {
    const groupBys = { AGENT: AGENT, TURN: turnId, MODEL } as const;
    const sum = { turns: '1', usage: TURN_USAGE, costMicroUsd: String(TURN_COST) };
    // A process that was killed right after the turn tells the statistics when it starts again.
    await waitForOutbox(() => readSqlite(desktop.databases));
    for (const [name, key] of Object.entries(groupBys)) {
      const usage = await desktop.engine.getUsage({
        agentId: AGENT,
        groupBy: UsageGroupBy[name as keyof typeof groupBys],
      });
      expect(toJson(GetUsageResponseSchema, usage)).toEqual({ total: sum, groups: [{ key, ...sum }] });
    }
  });

  test('a subscription from the start gives the same events', async () => {
    const again = await collect(desktop.engine.subscribe({ agentId: AGENT }, bounded()));
    expect(eventsToJson(again)).toEqual(eventsToJson(logged(events)));
  });

  test('a subscription after any cursor gives exactly what came after it', async () => {
    const all = logged(events);
    for (const [index, { cursor }] of all.entries()) {
      const rest = await collect(
        desktop.engine.subscribe({ agentId: AGENT, turnId, afterCursor: cursor, follow: true }, bounded()),
      );
      expect(rest.map((one) => one.cursor)).toEqual(all.slice(index + 1).map((one) => one.cursor));
      expect(eventsToJson(rest)).toEqual(eventsToJson(all.slice(index + 1)));
    }
  });

  test('the same request gives the same events again, and no second turn', async () => {
    const again = await collect(
      desktop.engine.receive(
        { agentId: AGENT, requestId: 'first', input: { case: 'text', value: SAID } },
        bounded(),
      ),
    );
    expect(onlyPayload(again, 'turnAccepted')).toMatchObject({ requestId: 'first', deduplicated: true });
    expect(eventsToJson(again.slice(1))).toEqual(eventsToJson(logged(events)));
    expect(model.requests).toHaveLength(4);
  });

  test('the conversation goes on: the model sees all of it', async () => {
    model.push((request) => text(`You said: ${lastText(request)}`));
    const second = await collect(
      desktop.engine.receive({ agentId: AGENT, input: { case: 'text', value: 'And now?' } }, bounded()),
    );
    expect(streamedText(second)).toBe('You said: And now?');
    expect(model.rejections).toEqual([]);
    expect(model.requests.at(-1)?.body.messages).toEqual(
      withCachePoints([...FIRST_TURN, { role: 'user', content: [{ type: 'text', text: 'And now?' }] }]),
    );
    expect(payloadsOf(second, 'message').map(({ position }) => position)).toEqual([10, 11]);
    const both = await collect(desktop.engine.subscribe({ agentId: AGENT }, bounded()));
    expect(eventsToJson(both)).toEqual(eventsToJson([...logged(events), ...logged(second)]));
  });

  test('nothing that was stored contradicts itself', async () => {
    await waitForOutbox(() => readSqlite(desktop.databases));
    expect((await desktop.engine.getUsage({ agentId: AGENT })).total?.turns).toBe(2n);
    await desktop.stop();
    expect(checkStored(readSqlite(desktop.databases), { [AGENT]: ['first'] })).toEqual([]);
  });
});
