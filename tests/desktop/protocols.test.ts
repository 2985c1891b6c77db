import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createClient } from '@connectrpc/connect';
import type { Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from '@connectrpc/connect-node';
import {
  createConnectTransport as createWebConnectTransport,
  createGrpcWebTransport as createWebGrpcWebTransport,
} from '@connectrpc/connect-web';
import { createGrpcTransport as createAgentxTransport } from '@agentx/client';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import {
  bounded,
  collect,
  eventsToJson,
  logged,
  onlyPayload,
  requirePart,
  runCommand,
  startDesktop,
  temporaryFolder,
} from '@agentx/testing';
import type { Desktop, EventJson, TemporaryFolder } from '@agentx/testing';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const AGENT = 'polyglot';
const SAID = 'hello\n!bash echo hi > note.txt; ls';
const RECEIVE = 'agentx.engine.v1.EngineService/Receive';
const LIST_MESSAGES = 'agentx.engine.v1.EngineService/ListMessages';

let folder: TemporaryFolder;
let desktop: Desktop;
/** The events of the one turn, as gRPC over HTTP/2 streamed them first. */
let expected: EventJson[];
const closers: (() => void)[] = [];

const request = { agentId: AGENT, requestId: 'once', input: { case: 'text', value: SAID } } as const;
const requestJson = { agentId: AGENT, requestId: 'once', text: SAID };

beforeAll(async () => {
  folder = await temporaryFolder();
  desktop = await startDesktop({ folder: join(folder.path, 'data') });
  expected = eventsToJson(logged(await collect(desktop.engine.receive(request, bounded()))));
}, 40_000);

afterAll(async () => {
  for (const close of closers) close();
  await desktop.stop();
  await folder.remove();
});

/** Every protocol attaches to the same turn by its request id, so all must show the same events. */
function checkEvents(events: EventJson[]): void {
  const [accepted, ...rest] = events;
  expect(accepted).toMatchObject({ turnAccepted: { requestId: 'once', deduplicated: true } });
  expect(rest).toEqual(expected);
}

const http2 = (baseUrl: string) => {
  const sessionManager = new Http2SessionManager(baseUrl);
  closers.push(() => sessionManager.abort());
  return { baseUrl, httpVersion: '2', sessionManager } as const;
};

describe('typed clients', () => {
  test.each<[what: string, transport: (url: string) => Transport]>([
    ['gRPC over HTTP/2', (url) => createGrpcTransport(http2(url))],
    [
      'gRPC by grpc-js',
      (url) => {
        const transport = createAgentxTransport({
          target: url.replace('http://', 'ipv4:'),
          services: [EngineService],
        });
        closers.push(() => transport.close());
        return transport;
      },
    ],
    ['gRPC-Web over HTTP/1.1', (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' })],
    ['gRPC-Web over HTTP/2', (url) => createGrpcWebTransport(http2(url))],
    ['gRPC-Web by fetch', (baseUrl) => createWebGrpcWebTransport({ baseUrl })],
    ['Connect over HTTP/1.1', (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' })],
    ['Connect over HTTP/2', (url) => createConnectTransport(http2(url))],
    ['Connect by fetch', (baseUrl) => createWebConnectTransport({ baseUrl })],
    ['Connect as JSON by fetch', (baseUrl) => createWebConnectTransport({ baseUrl, useBinaryFormat: false })],
  ])('%s', async (_what, transport) => {
    const engine = createClient(EngineService, transport(desktop.url));
    const events = await collect(engine.receive(request, bounded()));
    expect(onlyPayload(events, 'turnAccepted').deduplicated).toBe(true);
    checkEvents(eventsToJson(events));
    const { messages } = await engine.listMessages({ agentId: AGENT });
    expect(messages.map(({ position }) => position)).toEqual([1, 2, 3, 4]);
  });
});

describe('curl', () => {
  const curl = async (...args: string[]) => {
    const { path } = await requirePart('curl');
    return runCommand(path, ['-sS', '--max-time', '20', ...args]);
  };

  test('with plain JSON', async () => {
    const url = `${desktop.url}/${LIST_MESSAGES}`;
    const said = JSON.stringify({ agentId: AGENT });
    for (const protocol of ['--http1.1', '--http2-prior-knowledge']) {
      const { stdout } = await curl(protocol, url, '-H', 'content-type: application/json', '-d', said);
      const { messages } = JSON.parse(stdout.toString()) as { messages: object[] };
      expect(messages).toMatchObject([
        { position: 1, user: { content: [{ text: { text: SAID } }] } },
        { position: 2, assistant: { stopReason: 'STOP_REASON_TOOL_USE' } },
        { position: 3, toolResult: { content: 'note.txt\n', outcome: 'TOOL_OUTCOME_OK' } },
        { position: 4, assistant: { stopReason: 'STOP_REASON_END_TURN' } },
      ]);
    }
  });

  test('with plain JSON that is wrong: an HTTP status and an error that says why', async () => {
    const url = `${desktop.url}/${LIST_MESSAGES}`;
    const answers = [];
    for (const said of ['{"agentId":"../x"}', '{"agentId":', '{"agentId":7}', '{"agentId":"nobody"}']) {
      const { stdout } = await curl(
        '-w',
        '\n%{http_code}',
        url,
        '-H',
        'content-type: application/json',
        '-d',
        said,
      );
      const [json, status] = stdout.toString().split('\n');
      const { code, message } = JSON.parse(json!) as { code: string; message: string };
      answers.push([status, code, message]);
    }
    expect(answers).toEqual([
      ['400', 'invalid_argument', expect.stringContaining('agent_id')],
      ['400', 'invalid_argument', expect.stringMatching(/\S/)],
      ['400', 'invalid_argument', expect.stringContaining('agent_id')],
      ['404', 'not_found', expect.stringContaining('nobody')],
    ]);
  });

  test('with Connect’s streaming: an envelope a message, and one more for the end', async () => {
    const body = join(folder.path, 'request.bin');
    await writeFile(body, envelope(JSON.stringify(requestJson)));
    const { stdout } = await curl(
      ...[`${desktop.url}/${RECEIVE}`, '-H', 'content-type: application/connect+json'],
      ...['--data-binary', `@${body}`],
    );
    const messages = readEnvelopes(stdout);
    expect(messages.at(-1)).toEqual({ flags: 2, json: {} });
    expect(messages.slice(0, -1).every(({ flags }) => flags === 0)).toBe(true);
    checkEvents(messages.slice(0, -1).map(({ json }) => json['event'] as EventJson));
  });

  test('an address that is no method, and one that is not for GET', async () => {
    const status = async (...args: string[]) =>
      (await curl('-o', '/dev/null', '-w', '%{http_code}', ...args)).stdout.toString();
    expect(await status(`${desktop.url}/nothing`)).toBe('404');
    expect(await status(`${desktop.url}/${RECEIVE}`)).toBe('405');
    expect(await status(`${desktop.url}/${RECEIVE}`, '-d', 'x', '-H', 'content-type: text/html')).toBe('415');
  });
});

function envelope(text: string): Buffer {
  const data = Buffer.from(text);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

function readEnvelopes(bytes: Buffer): { flags: number; json: Record<string, unknown> }[] {
  const messages = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    const json = JSON.parse(bytes.toString('utf8', at + 5, end)) as Record<string, unknown>;
    messages.push({ flags: bytes.readUInt8(at), json });
    at = end;
  }
  return messages;
}

describe('grpcurl', () => {
  const grpcurl = async (...args: string[]) => {
    const { path } = await requirePart('grpcurl');
    return runCommand(path, ['-plaintext', '-max-time', '20', ...args]);
  };
  const address = () => `127.0.0.1:${desktop.port}`;

  test('lists and describes what is served, by reflection', async () => {
    const { stdout } = await grpcurl(address(), 'list');
    expect(stdout.toString().trim().split('\n').sort()).toEqual([
      'agentx.engine.v1.EngineService',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]);
    const described = (
      await grpcurl(address(), 'describe', 'agentx.engine.v1.EngineService')
    ).stdout.toString();
    expect(described).toContain('rpc Receive ( .agentx.engine.v1.ReceiveRequest ) returns ( stream');
    const message = (await grpcurl(address(), 'describe', 'agentx.common.v1.AgentEvent')).stdout.toString();
    expect(message).toContain('.agentx.common.v1.TurnEnded turn_ended = 61');
  });

  test('asks for health, of the server and of each service', async () => {
    for (const service of ['', 'agentx.engine.v1.EngineService']) {
      const { stdout } = await grpcurl(
        '-d',
        JSON.stringify({ service }),
        address(),
        'grpc.health.v1.Health/Check',
      );
      expect(JSON.parse(stdout.toString())).toEqual({ status: 'SERVING' });
    }
    const unknown = grpcurl('-d', '{"service":"nothing"}', address(), 'grpc.health.v1.Health/Check');
    await expect(unknown).resolves.toMatchObject({
      code: 64 + 5,
      stderr: expect.stringContaining('NotFound'),
    });
  });

  test('streams a turn', async () => {
    const { stdout } = await grpcurl('-d', JSON.stringify(requestJson), address(), RECEIVE);
    const messages = stdout
      .toString()
      .trim()
      .split(/\n(?=\{)/)
      .map((json) => JSON.parse(json) as { event: EventJson });
    checkEvents(messages.map(({ event }) => event));
  });

  test('shows the reason of a refusal', async () => {
    const { code, stderr } = await grpcurl('-d', '{"agent_id":"nobody"}', address(), LIST_MESSAGES);
    expect(code).toBe(64 + 5);
    expect(stderr).toContain('Code: NotFound');
    expect(stderr).toContain('"reason": "AGENT_NOT_FOUND"');
    expect(stderr).toContain('"domain": "agentx"');
  });
});
