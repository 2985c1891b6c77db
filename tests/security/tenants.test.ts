/** Tenants at an engine that wants tokens: what one has, another does not find, whatever ids it knows. */
import { toJsonString } from '@bufbuild/protobuf';
import { EngineService, ListMessagesResponseSchema } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { collect, refusalOf, startDesktop, streamedText, temporaryFolder } from '@agentx/testing';
import type { Desktop, EngineClient, TemporaryFolder } from '@agentx/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { access } from 'node:fs/promises';
import { createIssuer } from './tokens.ts';
import type { Issuer } from './tokens.ts';

type Headers = Readonly<Record<string, string>>;
type Call = (
  engine: EngineClient,
  options: { headers: Headers; timeoutMs: number },
) => Promise<unknown> | AsyncIterable<unknown>;

const AGENT = 'secret-agent';
const REQUEST = 'request-1';
const timeoutMs = 20_000;

let folder: TemporaryFolder;
let issuer: Issuer;
let desktop: Desktop;
/** What tenant A has, and tenant B has come to know. */
let known: { turnId: string; cursor: string };

const start = (autoCreate: boolean) =>
  startDesktop({
    folder: folder.path,
    env: { ...issuer.env, AGENTX_AUTO_CREATE_AGENTS: String(autoCreate) },
  });
const as = async (tenant: string, more: Headers = {}) => ({
  headers: { ...(await issuer.headers(tenant)), ...more },
  timeoutMs,
});
const receive = async (tenant: string, text: string, requestId = '') => {
  const request = { agentId: AGENT, requestId, input: { case: 'text' as const, value: text } };
  return collect(desktop.engine.receive(request, await as(tenant)));
};

/** Every call that names something of A's. */
const calls: Readonly<Record<string, Call>> = {
  subscribe: (engine, o) => engine.subscribe({ agentId: AGENT, turnId: known.turnId, follow: true }, o),
  'subscribe by cursor': (engine, o) => engine.subscribe({ agentId: AGENT, afterCursor: known.cursor }, o),
  getTurn: (engine, o) => engine.getTurn({ agentId: AGENT, turnId: known.turnId }, o),
  listTurns: (engine, o) => engine.listTurns({ agentId: AGENT }, o),
  listSteps: (engine, o) => engine.listSteps({ agentId: AGENT, turnId: known.turnId }, o),
  listMessages: (engine, o) => engine.listMessages({ agentId: AGENT }, o),
  clearMessages: (engine, o) => engine.clearMessages({ agentId: AGENT }, o),
  getUsage: (engine, o) => engine.getUsage({ agentId: AGENT }, o),
};
const ofTurn = ['subscribe', 'getTurn', 'listSteps'];

beforeAll(async () => {
  folder = await temporaryFolder();
  issuer = await createIssuer(folder.path);
  desktop = await start(true);
  const said = await receive('tenant-a', '!bash echo mine > file\nsecret of A', REQUEST);
  const last = said.at(-1);
  known = { turnId: last?.turnId ?? '', cursor: last?.cursor ?? '' };
  expect(streamedText(said)).toContain('secret of A');
}, 60_000);
afterAll(async () => {
  await desktop.stop();
  await folder.remove();
});

test('the tenant itself finds it all', async () => {
  for (const [name, call] of Object.entries(calls)) {
    if (name === 'clearMessages') continue;
    const answer = call(desktop.engine, await as('tenant-a'));
    if (Symbol.asyncIterator in answer) for await (const message of answer) expect(message).toBeDefined();
    else await answer;
  }
  await access(`${desktop.workspaces}/@tenant-a/${AGENT}/project/file`);
});

describe('without a token', () => {
  test.each(EngineService.methods.map(({ localName }) => localName))(
    '%s: UNAUTHENTICATED',
    async (method) => {
      const client = desktop.engine as unknown as Record<
        string,
        (request: object, options: object) => Promise<unknown>
      >;
      const headers = { 'x-agentx-tenant': 'tenant-a', 'x-agentx-subject': 'tester' };
      expect(await refusalOf(client[method]!({}, { headers, timeoutMs }))).toMatchObject({
        code: 'Unauthenticated',
        reason: 'TOKEN_MISSING',
      });
    },
  );

  test('health tells, and nothing else', async () => {
    const response = await fetch(`${desktop.url}/grpc.health.v1.Health/Check`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await response.json()).toEqual({ status: 'SERVING' });
  });
});

describe('another tenant, which has no such agent', () => {
  test.each(Object.keys(calls))('%s: NOT_FOUND', async (name) => {
    const refusal = await refusalOf(calls[name]!(desktop.engine, await as('tenant-b')));
    expect(refusal).toMatchObject({ code: 'NotFound', reason: 'AGENT_NOT_FOUND' });
  });

  test('headers that name the tenant change nothing', async () => {
    const options = await as('tenant-b', { 'x-agentx-tenant': 'tenant-a' });
    expect(await refusalOf(calls['getTurn']!(desktop.engine, options))).toMatchObject({ code: 'NotFound' });
  });
});

describe('another tenant, which has an agent of the same name', () => {
  beforeAll(async () => {
    // The same request id too: it is another request of another tenant.
    const said = await receive('tenant-b', 'hello from B', REQUEST);
    expect(said[0]?.payload).toMatchObject({ case: 'turnAccepted', value: { deduplicated: false } });
    expect(said[0]?.turnId).not.toBe(known.turnId);
  }, 30_000);

  test.each(ofTurn)("%s: A's turn is NOT_FOUND", async (name) => {
    const refusal = await refusalOf(calls[name]!(desktop.engine, await as('tenant-b')));
    expect(refusal).toMatchObject({ code: 'NotFound', reason: 'TURN_NOT_FOUND' });
  });

  test("A's cursor is none of this agent", async () => {
    const refusal = await refusalOf(calls['subscribe by cursor']!(desktop.engine, await as('tenant-b')));
    expect(refusal).toMatchObject({ code: 'InvalidArgument', reason: 'INVALID_CURSOR' });
  });

  test('lists hold its own things only', async () => {
    const options = await as('tenant-b');
    const { turns } = await desktop.engine.listTurns({ agentId: AGENT }, options);
    const messages = await desktop.engine.listMessages({ agentId: AGENT }, options);
    const usage = await desktop.engine.getUsage({}, options);
    expect(turns).toHaveLength(1);
    expect(turns[0]?.turnId).not.toBe(known.turnId);
    expect(messages.messages).toHaveLength(2);
    expect(toJsonString(ListMessagesResponseSchema, messages)).not.toContain('secret of A');
    expect(usage.total?.turns).toBe(1n);
  });

  test('a turn of A that this engine runs at this moment is NOT_FOUND', async () => {
    const leaving = new AbortController();
    const running = desktop.engine.receive(
      { agentId: AGENT, input: { case: 'text', value: '!stream 200 50\nslow secret of A' } },
      { ...(await as('tenant-a')), signal: leaving.signal },
    );
    const events = running[Symbol.asyncIterator]();
    const first = (await events.next()).value as { event?: { turnId: string } } | undefined;
    const turnId = first?.event?.turnId ?? '';
    expect(turnId).not.toBe('');
    const guess = desktop.engine.subscribe({ agentId: AGENT, turnId, follow: true }, await as('tenant-b'));
    expect(await refusalOf(guess)).toMatchObject({ code: 'NotFound', reason: 'TURN_NOT_FOUND' });
    leaving.abort();
  });
});

test('Receive for an agent of another tenant, where messages create none: NOT_FOUND', async () => {
  await desktop.stop();
  desktop = await start(false);
  const request = { agentId: AGENT, requestId: REQUEST, input: { case: 'text' as const, value: 'hello' } };
  expect(await refusalOf(desktop.engine.receive(request, await as('tenant-c')))).toMatchObject({
    code: 'NotFound',
    reason: 'AGENT_NOT_FOUND',
  });
  expect(streamedText(await receive('tenant-a', 'again'))).toContain('again');
}, 60_000);
