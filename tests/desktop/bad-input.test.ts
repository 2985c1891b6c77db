import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { createCursorCodec } from '@agentx/service-kit';
import { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { ReceiveRequest, ReceiveRequestSchema } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { EngineService, OnBusy, ToolDecision } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import {
  bounded,
  brokenJson,
  checkStored,
  collect,
  hold,
  lastText,
  onlyPayload,
  payloadsOf,
  readSqlite,
  refusalOf,
  startDesktop,
  startScriptedModel,
  streamedText,
  temporaryFolder,
  text,
  toolUse,
  waitForOutbox,
} from '@agentx/testing';
import type { Desktop, ScriptedModel, TemporaryFolder } from '@agentx/testing';
import { request as httpRequest } from 'node:http';

const STEADY = 'steady';
const MIB = 1024 * 1024;

let model: ScriptedModel;
let folder: TemporaryFolder;
let desktop: Desktop;
let asked = 0;

beforeAll(async () => {
  model = await startScriptedModel({ replies: (request) => text(`Yes: ${lastText(request)}`) });
  folder = await temporaryFolder();
  desktop = await startDesktop({
    folder: folder.path,
    env: { ANTHROPIC_API_KEY: 'sk-test', ANTHROPIC_BASE_URL: model.url },
  });
}, 40_000);

/** After each refusal nothing is lost, nothing is left behind, and the server answers. */
afterEach(async () => {
  asked += 1;
  const events = await collect(say(STEADY, `Are you there, ${asked}?`));
  expect(streamedText(events)).toBe(`Yes: Are you there, ${asked}?`);
  const { messages } = await desktop.engine.listMessages({ agentId: STEADY, pageSize: 1000 });
  expect(messages.map(({ position }) => position)).toEqual(
    Array.from({ length: 2 * asked }, (_, index) => index + 1),
  );
  expect(model.rejections).toEqual([]);
});

afterAll(async () => {
  await waitForOutbox(() => readSqlite(desktop.databases));
  const { total } = await desktop.engine.getUsage({});
  await desktop.stop();
  const faults = checkStored(readSqlite(desktop.databases));
  await model.close();
  await folder.remove();
  expect(faults).toEqual([]);
  expect(Number(total?.turns)).toBeGreaterThanOrEqual(asked);
});

type Input = Exclude<MessageInitShape<typeof ReceiveRequestSchema>, ReceiveRequest>;

const receive = (request: Input) => desktop.engine.receive(request, bounded());
const say = (agentId: string, value: string, requestId = '') =>
  receive({ agentId, requestId, input: { case: 'text', value } });

const hello: Pick<Input, 'input'> = { input: { case: 'text', value: 'hello' } };
const saying = (value: string): NonNullable<Input['input']> => ({
  case: 'message',
  value: { content: [{ part: { case: 'text', value: { text: value } } }] },
});

describe('a message that cannot be taken', () => {
  test.each<[what: string, request: Input, says: RegExp]>([
    ['empty text', { agentId: 'a', input: { case: 'text', value: '' } }, /^text: /],
    ['blank text', { agentId: 'a', input: { case: 'text', value: ' \n\t ' } }, /^text: /],
    [
      'text that is too long',
      { agentId: 'a', input: { case: 'text', value: 'x'.repeat(1_000_001) } },
      /^text: /,
    ],
    ['no input', { agentId: 'a' }, /^input: .*required/],
    [
      'a message without parts',
      { agentId: 'a', input: { case: 'message', value: {} } },
      /^message\.content: /,
    ],
    ['a blank part', { agentId: 'a', input: saying(' ') }, /text must not be blank/],
    ['no agent id', { ...hello }, /^agent_id: /],
    ['an agent id with a slash', { agentId: '../a', ...hello }, /^agent_id: /],
    ['an agent id with a space', { agentId: 'a b', ...hello }, /^agent_id: /],
    ['an agent id that is too long', { agentId: 'a'.repeat(129), ...hello }, /^agent_id: /],
    ['a request id with a space', { agentId: 'a', requestId: 'a b', ...hello }, /^request_id: /],
    ['an unknown on_busy', { agentId: 'a', onBusy: 99 as OnBusy, ...hello }, /^on_busy: /],
    [
      'no iterations',
      { agentId: 'a', options: { maxIterations: 0 }, ...hello },
      /^options\.max_iterations: /,
    ],
  ])('%s', async (_what, request, says) => {
    expect(await refusalOf(receive(request))).toMatchObject({
      code: 'InvalidArgument',
      reason: 'INVALID_REQUEST',
      message: expect.stringMatching(says),
    });
  });

  test('one larger than the server takes at all', async () => {
    const file = { mediaType: 'text/plain', data: new Uint8Array(10 * MIB).fill(32) };
    const content = Array.from({ length: 7 }, () => ({ part: { case: 'file', value: file } as const }));
    // Over HTTP/1.1: Node's own HTTP/2 client breaks off at its end what the server has refused.
    const transport = createConnectTransport({ baseUrl: desktop.url, httpVersion: '1.1' });
    const { receive } = createClient(EngineService, transport);
    const request = { agentId: 'a', input: { case: 'message', value: { content } } } as const;
    expect(await refusalOf(receive(request, bounded()))).toMatchObject({
      code: 'ResourceExhausted',
      message: expect.stringContaining(String(64 * MIB)),
    });
  });

  test('a request id that came with another body', async () => {
    await collect(say('reuser', 'one', 'mine'));
    expect(await refusalOf(say('reuser', 'two', 'mine'))).toMatchObject({
      code: 'InvalidArgument',
      reason: 'REQUEST_ID_REUSED',
      message: expect.stringContaining('use a new request_id'),
      metadata: { request_id: 'mine' },
    });
    // The same text as a message is the same request.
    const same = await collect(receive({ agentId: 'reuser', requestId: 'mine', input: saying('one') }));
    expect(onlyPayload(same, 'turnAccepted').deduplicated).toBe(true);
    expect((await desktop.engine.listTurns({ agentId: 'reuser' })).turns).toHaveLength(1);
  });
});

describe('a question about what is not there', () => {
  test.each<[what: string, ask: () => Promise<unknown> | AsyncIterable<unknown>]>([
    ['ListMessages', () => desktop.engine.listMessages({ agentId: 'nobody' })],
    ['ListTurns', () => desktop.engine.listTurns({ agentId: 'nobody' })],
    ['GetTurn', () => desktop.engine.getTurn({ agentId: 'nobody', turnId: 't' })],
    ['ListSteps', () => desktop.engine.listSteps({ agentId: 'nobody', turnId: 't' })],
    ['ClearMessages', () => desktop.engine.clearMessages({ agentId: 'nobody' })],
    ['GetUsage', () => desktop.engine.getUsage({ agentId: 'nobody' })],
    ['Subscribe', () => desktop.engine.subscribe({ agentId: 'nobody', follow: true }, bounded())],
  ])('%s of an unknown agent', async (_what, ask) => {
    expect(await refusalOf(ask())).toMatchObject({
      code: 'NotFound',
      reason: 'AGENT_NOT_FOUND',
      message: expect.stringContaining('nobody'),
    });
  });

  test('an unknown turn', async () => {
    const agentId = STEADY;
    const refused = {
      code: 'NotFound',
      reason: 'TURN_NOT_FOUND',
      message: expect.stringContaining('no-turn'),
    };
    expect(await refusalOf(desktop.engine.getTurn({ agentId, turnId: 'no-turn' }))).toMatchObject(refused);
    expect(await refusalOf(desktop.engine.listSteps({ agentId, turnId: 'no-turn' }))).toMatchObject(refused);
    expect(
      await refusalOf(desktop.engine.subscribe({ agentId, turnId: 'no-turn', follow: true }, bounded())),
    ).toMatchObject(refused);
  });

  test('a cursor that is none, another agent’s, or of the future', async () => {
    const cursors = createCursorCodec('default', STEADY);
    const { messages } = await desktop.engine.listMessages({ agentId: STEADY });
    expect(messages.length).toBeGreaterThan(0);
    const foreign = createCursorCodec('default', 'reuser').encode(1n, 1);
    for (const afterCursor of ['nonsense', foreign, cursors.encode(999_999n, 1)]) {
      const refusal = await refusalOf(desktop.engine.subscribe({ agentId: STEADY, afterCursor }, bounded()));
      expect({ afterCursor, ...refusal }).toMatchObject({
        afterCursor,
        code: 'InvalidArgument',
        reason: 'INVALID_CURSOR',
        message: expect.stringContaining('pass a cursor exactly as an event of this agent carried it'),
      });
    }
  });

  test('a page token that is none, and a page that is too large', async () => {
    const agentId = STEADY;
    for (const call of [
      desktop.engine.listMessages({ agentId, pageToken: 'nonsense' }),
      desktop.engine.listTurns({ agentId, pageToken: 'nonsense' }),
    ])
      expect(await refusalOf(call)).toMatchObject({ code: 'InvalidArgument', reason: 'INVALID_PAGE_TOKEN' });
    expect(await refusalOf(desktop.engine.listMessages({ agentId, pageSize: 1001 }))).toMatchObject({
      code: 'InvalidArgument',
      reason: 'INVALID_REQUEST',
      message: expect.stringMatching(/^page_size: /),
    });
  });
});

describe('what is not built yet', () => {
  const decision = { turnId: 't', toolCallId: 'c', decision: ToolDecision.ALLOW };
  test.each<[what: string, ask: () => Promise<unknown>]>([
    ['Interrupt', () => desktop.engine.interrupt({ agentId: STEADY })],
    ['ResolveToolCall', () => desktop.engine.resolveToolCall({ agentId: STEADY, ...decision })],
    ['ListPendingToolCalls', () => desktop.engine.listPendingToolCalls({})],
  ])('%s says so', async (what, ask) => {
    expect(await refusalOf(ask())).toMatchObject({
      code: 'Unimplemented',
      reason: 'NOT_IMPLEMENTED',
      message: expect.stringMatching(new RegExp(`${what}.* not built yet`)),
    });
  });

  test('queueing for a busy agent says so, and the running turn is not touched', async () => {
    const gate = Promise.withResolvers<undefined>();
    model.push(hold(text('Done.'), gate.promise));
    const before = model.requests.length;
    const running = collect(say('busy', 'Work.'));
    await model.waitForRequest(before + 1);
    for (const onBusy of [OnBusy.ENQUEUE, OnBusy.INTERRUPT])
      expect(await refusalOf(receive({ agentId: 'busy', onBusy, ...hello }))).toMatchObject({
        code: 'Unimplemented',
        reason: 'NOT_IMPLEMENTED',
      });
    gate.resolve(undefined);
    expect(onlyPayload(await running, 'turnEnded').stopReason).toBe(StopReason.END_TURN);
    expect((await desktop.engine.listMessages({ agentId: 'busy' })).messages).toHaveLength(2);
  });
});

describe('a tool call that cannot be run', () => {
  test.each([
    ['broken JSON', brokenJson('bash', '{"command": "touch broken'), /not valid JSON/],
    ['an argument of the wrong kind', toolUse('bash', { command: 7 }), /"command" must be a string/],
    ['no argument', toolUse('bash', {}), /"command" is missing/],
    ['an unknown tool', toolUse('teleport', { to: 'Mars' }), /There is no tool "teleport"/],
  ])('%s: the result says so, and the turn goes on', async (what, call, says) => {
    const agentId = what.replaceAll(' ', '-');
    model.push([text('I try.'), call], (request) =>
      text(`Told: ${JSON.stringify(request.body.messages.at(-1))}`),
    );
    const events = await collect(say(agentId, 'Try.'));
    expect(onlyPayload(events, 'toolFailed')).toMatchObject({
      toolCallId: call.id,
      outcome: ToolOutcome.ERROR,
    });
    const results = payloadsOf(events, 'message').flatMap(({ body }) =>
      body.case === 'toolResult' ? [body.value] : [],
    );
    expect(results).toMatchObject([
      { toolCallId: call.id, isError: true, content: expect.stringMatching(says) },
    ]);
    expect(streamedText(events)).toContain(JSON.stringify(results[0]!.content).slice(1, -1));
    expect(onlyPayload(events, 'turnEnded').stopReason).toBe(StopReason.END_TURN);
  });
});

describe('requests made by web pages', () => {
  const post = (headers: Record<string, string>) =>
    new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
      const body = JSON.stringify({ agentId: STEADY });
      const url = `${desktop.url}/agentx.engine.v1.EngineService/ListMessages`;
      const all = { 'content-type': 'application/json', ...headers };
      const sent = httpRequest(url, { method: 'POST', headers: all }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
        response.on('end', () => {
          resolve({ status: response.statusCode, body: text });
        });
      });
      sent.on('error', reject).end(body);
    });

  test('of another site are refused', async () => {
    const { status, body } = await post({ origin: 'https://evil.example' });
    expect([status, body]).toEqual([403, expect.stringContaining('https://evil.example')]);
  });

  test('under a name that is not this machine’s are refused', async () => {
    const { status, body } = await post({ host: 'evil.example' });
    expect([status, body]).toEqual([403, expect.stringContaining('localhost')]);
    const port = String(desktop.port);
    const rebound = await post({ host: `evil.example:${port}`, origin: `http://evil.example:${port}` });
    expect(rebound.status).toBe(403);
  });

  test('of the server’s own pages are answered, where they have the token of this start', async () => {
    const without = await post({ origin: desktop.url });
    expect([without.status, without.body]).toEqual([401, expect.stringContaining('load it again')]);
    const page = await fetch(desktop.url);
    const cookie = page.headers
      .getSetCookie()
      .map((set) => set.split(';', 1)[0])
      .join('; ');
    const { status, body } = await post({ origin: desktop.url, cookie });
    expect(status).toBe(200);
    expect(JSON.parse(body)).toHaveProperty('messages');
  });
});

test('a key that the provider refuses ends the turn, naming the variable and never the key', async () => {
  await using strict = await startScriptedModel({ apiKey: 'sk-right' });
  await using other = await temporaryFolder();
  await using mistaken = await startDesktop({
    folder: other.path,
    env: { ANTHROPIC_API_KEY: 'sk-wrong-key-of-this-test', ANTHROPIC_BASE_URL: strict.url },
  });
  const events = await collect(mistaken.engine.receive({ agentId: 'a', ...hello }, bounded()));
  expect(onlyPayload(events, 'turnEnded')).toMatchObject({
    stopReason: StopReason.ERROR,
    reason: 'MODEL_AUTHENTICATION',
    message: expect.stringContaining('ANTHROPIC_API_KEY'),
  });
  expect(payloadsOf(events, 'message').map(({ body }) => body.case)).toEqual(['user', 'error']);
  expect(strict.requests).toHaveLength(1);
  await waitForOutbox(() => readSqlite(mistaken.databases));
  await mistaken.stop();
  const output = [...mistaken.process.stdout, ...mistaken.process.stderr].join('\n');
  expect(output).toContain('MODEL_AUTHENTICATION');
  expect(output).not.toContain('sk-wrong-key-of-this-test');
  expect(checkStored(readSqlite(mistaken.databases))).toEqual([]);
});
