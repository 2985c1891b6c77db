import { beforeAll, describe, expect, test } from '@jest/globals';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import {
  bounded,
  collect,
  eventsToJson,
  freePort,
  onlyPayload,
  reply,
  startScriptedModel,
  startDesktop,
  startServices,
  temporaryFolder,
  text,
  toolUse,
  waitFor,
} from '@agentx/testing';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startOtlpReceiver } from './otlp-receiver.ts';
import type { ReceivedSpan } from './otlp-receiver.ts';
import { processUrls, scrape, valueOf } from './scrape.ts';

/** Stands in everything that is said, run and kept secret here. */
const CANARY = 'yellow-canary-5309';
const MODEL = 'claude-sonnet-4-5';
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CALLER_ID = 'b7ad6b7169203331';

const SESSION = 'agentx.session.v1.SessionStoreService';
const STATS = 'agentx.stats.v1.StatisticsStoreService';
const STATE = 'agentx.state.v1.StateStoreService';

let events: AgentEvent[];
let spans: readonly ReceivedSpan[];
let exported: string;
let exportHeaders: readonly NodeJS.Dict<string | string[]>[];
let logLines: readonly string[];
let metrics: string[];

beforeAll(async () => {
  await using receiver = await startOtlpReceiver();
  const apiKey = `sk-ant-${CANARY}`;
  const model = await startScriptedModel({
    apiKey,
    replies: [
      reply({ content: [text(`I run ${CANARY}.`), toolUse('bash', { command: `echo ${CANARY}` })] }),
      reply({ content: [text(`Done with ${CANARY}.`)] }),
    ],
  });
  const folder = await temporaryFolder();
  try {
    const services = await startServices({
      databaseUrl: `sqlite:${join(folder.path, 'databases')}`,
      folder: folder.path,
      env: {
        ANTHROPIC_API_KEY: apiKey,
        ANTHROPIC_BASE_URL: model.url,
        AGENTX_MODEL: MODEL,
        AGENTX_LOG_LEVEL: 'debug',
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
        OTEL_EXPORTER_OTLP_HEADERS: `x-api-key=key-${CANARY}`,
      },
    });
    const urls = processUrls(services.url);
    events = await collect(
      services.engine.receive(
        { agentId: 'a1', requestId: 'r1', input: { case: 'text', value: `Say ${CANARY}` } },
        { ...bounded(), headers: { traceparent: `00-${TRACE_ID}-${CALLER_ID}-01` } },
      ),
    );
    await waitFor(
      async () => valueOf(await scrape(urls['session-store']), 'agentx_outbox_acknowledged_total') === 1,
      { what: 'statistics and state to be told' },
    );
    metrics = await Promise.all(Object.values(urls).map(scrape));
    // Programs that end send the spans that they still have.
    await services.stop();
    spans = receiver.spans;
    exported = Buffer.concat(receiver.bodies).toString('latin1');
    exportHeaders = receiver.headers;
    logLines = [...services.process.stderr, ...services.process.stdout];
  } finally {
    await model.close();
    await folder.remove();
  }
}, 90_000);

const turnId = () => events[0]?.turnId;
const traced = () => spans.filter(({ traceId }) => traceId === TRACE_ID);
const named = (name: string, service?: string) =>
  traced().filter((span) => span.name === name && (service === undefined || span.service === service));

function only(name: string, service?: string): ReceivedSpan {
  const found = named(name, service);
  expect(found.map((span) => `${span.service} ${span.name}`)).toHaveLength(1);
  return found[0]!;
}

/** A call as both its ends saw it: the server's span is a part of the engine's. */
function calls(name: string, server: string): { client: ReceivedSpan; server: ReceivedSpan }[] {
  return named(name, 'agentx-engine').map((client) => {
    const answered = named(name, server).filter(({ parentId }) => parentId === client.spanId);
    expect(answered).toHaveLength(1);
    expect([client.kind, answered[0]!.kind]).toEqual([3, 2]);
    return { client, server: answered[0]! };
  });
}

describe('one message through four processes', () => {
  test("is one trace, the caller's, without loose ends", () => {
    const ids = new Set(traced().map(({ spanId }) => spanId));
    const loose = traced().filter(({ parentId }) => parentId !== CALLER_ID && !ids.has(parentId));
    expect(loose.map(({ name }) => name)).toEqual([]);
    expect(new Set(traced().map(({ service }) => service))).toEqual(
      new Set(['agentx-engine', 'agentx-session-store', 'agentx-stats-store', 'agentx-state-store']),
    );
    expect(
      traced()
        .filter(({ failed }) => failed)
        .map(({ name }) => name),
    ).toEqual([
      // An unknown agent is created.
      `${STATE}/GetAgentRecord`,
    ]);
  });

  test('goes from the request to the stores, and to the turn', () => {
    const request = only('agentx.engine.v1.EngineService/Receive');
    expect(request).toMatchObject({ service: 'agentx-engine', kind: 2, parentId: CALLER_ID });
    const [begin, ...more] = calls(`${SESSION}/BeginTurn`, 'agentx-session-store');
    expect(more).toEqual([]);
    expect(begin?.client.parentId).toBe(request.spanId);
    expect(begin?.server.attributes).toMatchObject({
      'rpc.system': 'grpc',
      'rpc.service': SESSION,
      'rpc.method': 'BeginTurn',
      'rpc.grpc.status_code': 0,
    });
    expect(only('invoke_agent')).toMatchObject({
      service: 'agentx-engine',
      parentId: request.spanId,
      attributes: {
        'gen_ai.operation.name': 'invoke_agent',
        'gen_ai.agent.id': 'a1',
        'agentx.turn.id': turnId(),
        'agentx.turn.stop_reason': 'end_turn',
        'agentx.turn.tool_calls': 1,
      },
    });
  });

  test('goes on from the turn to the model, the tool and the log', () => {
    const turn = only('invoke_agent').spanId;
    const modelCalls = named(`chat ${MODEL}`);
    expect(modelCalls).toHaveLength(2);
    for (const call of modelCalls)
      expect(call).toMatchObject({
        kind: 3,
        parentId: turn,
        attributes: {
          'gen_ai.operation.name': 'chat',
          'gen_ai.provider.name': 'anthropic',
          'gen_ai.request.model': MODEL,
          'gen_ai.response.model': MODEL,
        },
      });
    expect(modelCalls.map(({ attributes }) => attributes['gen_ai.response.finish_reasons'])).toEqual([
      ['tool_use'],
      ['end_turn'],
    ]);
    expect(only('execute_tool bash')).toMatchObject({
      kind: 1,
      parentId: turn,
      attributes: { 'gen_ai.tool.name': 'bash', 'agentx.tool.outcome': 'OK' },
    });
    // Two model calls and an answer, a tool's start and its result.
    const commits = calls(`${SESSION}/CommitStep`, 'agentx-session-store');
    expect(commits.map(({ client }) => client.parentId)).toEqual([turn, turn, turn, turn, turn]);
    for (const [name, store] of [
      [`${SESSION}/EndTurn`, 'agentx-session-store'],
      [`${SESSION}/AckOutbox`, 'agentx-session-store'],
      [`${STATS}/AddTurn`, 'agentx-stats-store'],
    ] as const)
      expect(calls(name, store).map(({ client }) => client.parentId)).toEqual([turn]);
  });

  test('is found by its log lines, and by agent and turn', () => {
    const lines = logLines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as object);
    expect(lines).toContainEqual(
      expect.objectContaining({
        name: 'engine',
        msg: 'turn ended',
        trace_id: TRACE_ID,
        span_id: only('invoke_agent').spanId,
        agentId: 'a1',
        turnId: turnId(),
      }),
    );
    expect(lines).toContainEqual(
      expect.objectContaining({
        name: 'stats-store',
        method: `${STATS}/AddTurn`,
        trace_id: TRACE_ID,
        span_id: only(`${STATS}/AddTurn`, 'agentx-stats-store').spanId,
      }),
    );
  });
});

test('calls that last as long as the processes are not traced', () => {
  expect(spans.filter(({ name }) => name.includes('WatchWork') || name.includes('Health'))).toEqual([]);
});

test('nothing that is said, run or secret is in traces, logs or metrics', () => {
  // It was there to be found, …
  expect(JSON.stringify(eventsToJson(events)).split(CANARY).length).toBeGreaterThan(4);
  expect(exportHeaders[0]?.['x-api-key']).toBe(`key-${CANARY}`);
  expect(exported).toContain('invoke_agent');
  expect(logLines.join('\n')).toContain('turn ended');
  // … and is not.
  expect(exported).not.toContain(CANARY);
  expect(logLines.filter((line) => line.includes(CANARY))).toEqual([]);
  expect(metrics.filter((text) => text.includes(CANARY))).toEqual([]);
});

test('metrics of the four processes tell of the turn', () => {
  const [engine = '', session = '', stats = ''] = metrics;
  expect(valueOf(engine, 'agentx_turns_begun_total', { how: 'received' })).toBe(1);
  expect(valueOf(engine, 'agentx_turns_active')).toBe(0);
  expect(valueOf(engine, 'agentx_turns_ended_total', { stop_reason: 'end_turn' })).toBe(1);
  expect(valueOf(engine, 'agentx_turn_ttft_seconds_count')).toBe(1);
  expect(valueOf(engine, 'agentx_model_call_seconds_count', { model: MODEL, end: 'ok' })).toBe(2);
  expect(valueOf(engine, 'agentx_model_tokens_total', { model: MODEL, kind: 'output' })).toBeGreaterThan(0);
  expect(valueOf(engine, 'agentx_model_cost_micro_usd_total', { model: MODEL })).toBeGreaterThan(0);
  expect(valueOf(engine, 'agentx_turns_unpriced_total')).toBe(0);
  expect(valueOf(engine, 'agentx_tool_runs_total', { tool: 'bash', outcome: 'ok' })).toBe(1);
  expect(valueOf(engine, 'agentx_event_write_lag_seconds_count')).toBeGreaterThanOrEqual(6);
  expect(valueOf(engine, 'agentx_dependency_ok')).toBe(3);
  expect(valueOf(session, 'agentx_leases_acquired_total', { how: 'begin' })).toBe(1);
  expect(valueOf(session, 'agentx_leases_acquired_total', { how: 'takeover' })).toBe(0);
  expect(valueOf(session, 'agentx_outbox_written_total')).toBe(1);
  expect(valueOf(session, 'agentx_outbox_acknowledged_total')).toBe(1);
  expect(valueOf(session, 'agentx_work_watchers')).toBe(1);
  expect(valueOf(session, 'agentx_database_seconds_count', { kind: 'transaction' })).toBeGreaterThanOrEqual(
    7,
  );
  expect(valueOf(session, 'agentx_database_group_works_sum')).toBeGreaterThanOrEqual(7);
  expect(valueOf(stats, 'agentx_rpc_total', { method: 'AddTurn', code: 'ok' })).toBe(1);
});

test('every metric is explained', async () => {
  const explained = await readFile('docs/operations.md', 'utf8');
  const names = metrics.flatMap((text) =>
    [...text.matchAll(/^# TYPE (agentx_\w+)/gm)].map(([, name]) => name),
  );
  expect(new Set(names).size).toBeGreaterThan(25);
  expect(names.filter((name) => !explained.includes(`\`${name}\``))).toEqual([]);
});

test('an endpoint that is away holds nobody up', async () => {
  await using folder = await temporaryFolder();
  const desktop = await startDesktop({
    folder: folder.path,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` },
  });
  const said = await collect(
    desktop.engine.receive({ agentId: 'a1', input: { case: 'text', value: 'hello' } }, bounded()),
  );
  expect(onlyPayload(said, 'turnEnded').reason).toBe('');
  expect(await desktop.stop()).toEqual({ code: 0, signal: null });
  expect(desktop.process.stderr.join('\n')).toContain('the last spans were not taken');
}, 60_000);

test('a protocol that is not spoken is refused, by the name of the variable', async () => {
  await using folder = await temporaryFolder();
  const start = startDesktop({
    folder: folder.path,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4317', OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
  });
  await expect(start).rejects.toThrow(/OTEL_EXPORTER_OTLP_PROTOCOL="grpc" .*http\/protobuf/);
}, 60_000);
