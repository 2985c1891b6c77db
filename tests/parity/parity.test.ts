import { beforeAll, describe, expect, test } from '@jest/globals';
import { toJson } from '@bufbuild/protobuf';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import {
  GetTurnResponseSchema,
  GetUsageResponseSchema,
  ListMessagesResponseSchema,
  ListStepsResponseSchema,
  ListTurnsResponseSchema,
  UsageGroupBy,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import {
  bounded,
  checkStored,
  collect,
  createNormaliser,
  httpError,
  midStreamError,
  readableRows,
  readPostgres,
  readSqlite,
  refusalOf,
  reply,
  startDesktop,
  startPostgres,
  startScriptedModel,
  startServices,
  temporaryFolder,
  text,
  thinking,
  toolUse,
  waitForOutbox,
} from '@agentx/testing';
import type { EngineClient, ReplyLike, Stored } from '@agentx/testing';

/** Answers of the model, in the order in which the scenario asks for them. */
const SCRIPT: ReplyLike[] = [
  reply({
    content: [text('Good morning.', { chunks: ['Good ', 'morning.'] })],
    usage: { input_tokens: 11, output_tokens: 7, cache_creation: { ephemeral_5m_input_tokens: 100 } },
  }),
  reply({
    content: [
      thinking('I look first.', 'signed'),
      toolUse('bash', { command: 'mkdir -p sub && cd sub && echo made | tee made.txt' }, { id: 'toolu_1' }),
      toolUse('bash', { command: 'pwd; exit 3' }, { id: 'toolu_2' }),
    ],
    usage: { input_tokens: 20, output_tokens: 30, cache_read_input_tokens: 100 },
  }),
  [text('One more.'), toolUse('teleport', { to: 'Mars' }, { id: 'toolu_3' })],
  reply({
    content: [text('It failed, and there is no teleport.')],
    usage: { input_tokens: 9, output_tokens: 9 },
  }),
  midStreamError(text('Half an ans', { chunks: 1 }), 4),
  text('The second attempt is whole.'),
  httpError(400, 'invalid_request_error', 'This request is refused.'),
  text('Still here.'),
];

interface Outcome {
  /** Everything that the API said, in the order of the scenario. */
  readonly said: unknown[];
  readonly stored: Stored;
}

/** One scenario: text, tools that succeed and fail, a repeated attempt, a failed turn, the same request twice, usage. */
async function play(engine: EngineClient, read: () => Stored | Promise<Stored>): Promise<unknown[]> {
  const said: unknown[] = [];
  const events: AgentEvent[] = [];
  const say = async (agentId: string, requestId: string, value: string) => {
    const request = { agentId, requestId, input: { case: 'text', value } } as const;
    events.push(...(await collect(engine.receive(request, bounded()))));
  };
  await say('talker', 'morning', 'Good morning!');
  await say('worker', 'work', 'Make a folder, then fail.');
  await say('worker', 'again', 'Is it whole?');
  await say('worker', 'refused', 'Is it refused?');
  await say('talker', 'morning', 'Good morning!');
  await say('talker', 'last', 'Are you there?');
  said.push(...events.map((event) => toJson(AgentEventSchema, event)));

  // The statistics learn of a turn moments after its end.
  await waitForOutbox(read);
  for (const agentId of ['talker', 'worker']) {
    const { turns, ...rest } = await engine.listTurns({ agentId });
    said.push(toJson(ListTurnsResponseSchema, { turns, ...rest }));
    for (const { turnId } of turns) {
      said.push(toJson(GetTurnResponseSchema, await engine.getTurn({ agentId, turnId })));
      said.push(toJson(ListStepsResponseSchema, await engine.listSteps({ agentId, turnId })));
    }
    said.push(toJson(ListMessagesResponseSchema, await engine.listMessages({ agentId })));
    const again = await collect(engine.subscribe({ agentId }, bounded()));
    said.push(...again.map((event) => toJson(AgentEventSchema, event)));
  }
  for (const groupBy of [UsageGroupBy.UNSPECIFIED, UsageGroupBy.AGENT, UsageGroupBy.MODEL]) {
    said.push(toJson(GetUsageResponseSchema, await engine.getUsage({ groupBy })));
  }
  for (const refused of [
    engine.receive({ agentId: 'talker', requestId: 'morning', input: { case: 'text', value: 'No.' } }),
    engine.subscribe({ agentId: 'talker', afterCursor: events.at(-7)!.cursor.replace(/\w+$/, 'abcdef') }),
    engine.getTurn({ agentId: 'talker', turnId: 'none' }),
    engine.listMessages({ agentId: 'nobody' }),
    engine.interrupt({ agentId: 'talker' }),
  ])
    said.push(await refusalOf(refused));
  return said;
}

const environment = (modelUrl: string) => ({
  ANTHROPIC_API_KEY: 'sk-test',
  ANTHROPIC_BASE_URL: modelUrl,
  AGENTX_ENGINE_ID: 'engine-1',
});

async function onOneProcess(): Promise<Outcome> {
  await using model = await startScriptedModel({ replies: SCRIPT });
  await using folder = await temporaryFolder();
  await using desktop = await startDesktop({ folder: folder.path, env: environment(model.url) });
  const read = () => readSqlite(desktop.databases);
  const said = await play(desktop.engine, read);
  await desktop.stop();
  checkModel(model);
  return { said, stored: read() };
}

async function onFourProcesses(): Promise<Outcome> {
  await using model = await startScriptedModel({ replies: SCRIPT });
  await using folder = await temporaryFolder();
  await using postgres = await startPostgres();
  const databaseUrl = await postgres.createDatabase('parity');
  await using services = await startServices({
    databaseUrl,
    folder: folder.path,
    env: environment(model.url),
  });
  const read = () => readPostgres(postgres.url.replace(/\/postgres$/, '/parity'));
  const said = await play(services.engine, read);
  await services.stop();
  checkModel(model);
  return { said, stored: await read() };
}

function checkModel({
  requests,
  rejections,
  scriptErrors,
  exhausted,
}: Awaited<ReturnType<typeof startScriptedModel>>) {
  expect(rejections).toEqual([]);
  expect(scriptErrors).toEqual([]);
  expect(exhausted).toBe(0);
  expect(requests).toHaveLength(SCRIPT.length);
}

/** Rows in an order of their own: the keys of some begin with ids, which are random. */
function comparableRows(stored: Stored): Record<string, unknown[]> {
  // The log comes first, and its order is not random: it names all ids.
  const tables = createNormaliser()(readableRows(stored)) as Record<string, unknown[]>;
  const sorted = Object.entries(tables).map(([table, rows]) => [
    table,
    rows.toSorted((row, other) => (JSON.stringify(row) < JSON.stringify(other) ? -1 : 1)),
  ]);
  return Object.fromEntries(sorted) as Record<string, unknown[]>;
}

describe('one process on SQLite and four processes on PostgreSQL', () => {
  let desktop: Outcome;
  let services: Outcome;

  beforeAll(async () => {
    desktop = await onOneProcess();
    services = await onFourProcesses();
  }, 60_000);

  test('say the same, event by event and answer by answer', () => {
    const [one, four] = [desktop, services].map(({ said }) => createNormaliser()(said) as unknown[]);
    expect(four).toEqual(one);
    expect(one!.length).toBeGreaterThan(150);
  });

  test('store the same, table by table and row by row', () => {
    const [one, four] = [desktop, services].map(({ stored }) => comparableRows(stored));
    expect(Object.keys(one!)).toEqual([
      'session.event_batch',
      'session.lease',
      'session.message',
      'session.model_attempt',
      'session.outbox',
      'session.tool_run',
      'session.turn',
      'state.agent_record',
      'state.agent_state',
      'stats.counted_turn',
    ]);
    for (const [table, rows] of Object.entries(one!)) {
      expect({ table, rows: four![table] }).toEqual({ table, rows });
      expect({ table, empty: rows.length === 0 }).toEqual({ table, empty: table === 'session.outbox' });
    }
    expect(Object.keys(four!)).toEqual(Object.keys(one!));
  });

  test('store what keeps the invariants', () => {
    const acknowledged = { talker: ['morning', 'last'], worker: ['work', 'again', 'refused'] };
    expect(checkStored(desktop.stored, acknowledged)).toEqual([]);
    expect(checkStored(services.stored, acknowledged)).toEqual([]);
  });
});
