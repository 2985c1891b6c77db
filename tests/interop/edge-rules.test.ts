import { requirePart, waitFor } from '@agentx/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { startEdge } from './harness/edge.ts';
import type { Edge } from './harness/edge.ts';
import { startFakeEngine } from './harness/fake-engine.ts';
import type { Behaviour, FakeEngine } from './harness/fake-engine.ts';
import { run } from './harness/run.ts';
import { root } from './harness/servers.ts';
import { text } from './suites/agents.ts';

const allowedOrigin = 'https://console.example.com';
const foreignOrigin = 'https://console.example.com.evil.example';
const listMessages = `/${EngineService.typeName}/ListMessages`;

test('envoy finds nothing wrong with deploy/envoy/envoy.yaml as it is', async () => {
  const { path } = await requirePart('envoy');
  const { code, stderr } = await run(path, ['--mode', 'validate', '-c', 'deploy/envoy/envoy.yaml'], {
    cwd: root,
  });
  expect(stderr).not.toMatch(/deprecated/i);
  expect(code).toBe(0);
});

describe("the edge's rules", () => {
  const ends = new AsyncDisposableStack();
  let one: FakeEngine;
  let two: FakeEngine;
  let edge: Edge;

  beforeAll(async () => {
    one = ends.use(await startFakeEngine());
    two = ends.use(await startFakeEngine());
    edge = ends.use(await startEdge([one.address, two.address]));
  }, 60_000);

  beforeEach(() => {
    for (const engine of [one, two]) {
      engine.behave = () => 'answer';
      engine.calls.length = 0;
    }
  });

  afterAll(() => ends.disposeAsync());

  const post = (headers: Record<string, string>, path = listMessages) =>
    fetch(`http://${edge.address}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{}',
    });
  const engine = () =>
    createClient(EngineService, createGrpcTransport({ baseUrl: `http://${edge.address}` }));
  const reached = () => [...one.calls, ...two.calls];

  test('takes away headers of identity, whoever writes them how, and commands to the proxy', async () => {
    const sent = { 'x-agentx-tenant': 'other', 'X-AgentX-Anything': 'x', 'x-envoy-retry-on': '5xx' };
    await post({ ...sent, authorization: 'Bearer t', 'x-agent-id': 'a1', traceparent: '00-1-2-01' });
    await engine().listMessages({ agentId: 'a1' }, { headers: { ...sent, authorization: 'Bearer t' } });
    expect(reached()).toHaveLength(2);
    for (const headers of reached()) {
      for (const name of Object.keys(sent)) expect(headers).not.toHaveProperty(name.toLowerCase());
      expect(headers.authorization).toBe('Bearer t');
    }
    expect(reached().some((headers) => headers['x-agent-id'] === 'a1')).toBe(true);
  });

  describe('when the engine that was chosen cannot take a call', () => {
    const receive = async () => {
      const input = text('hello');
      for await (const _ of engine().receive({ agentId: 'a1', input })) continue;
    };
    const list = async () => {
      await engine().listMessages({ agentId: 'a1' });
    };
    const outcome = (call: Promise<void>) =>
      call.then(
        () => 'answered',
        (error: unknown) => Code[ConnectError.from(error).code],
      );

    test.each<[Behaviour, string, () => Promise<void>, string, engines: number]>([
      ['refuse', 'Receive', receive, 'answered', 2],
      ['refuse', 'ListMessages', list, 'answered', 2],
      ['unavailable', 'ListMessages', list, 'answered', 2],
      // It may have taken effect: only the caller knows whether a second try is safe.
      ['unavailable', 'Receive', receive, 'Unavailable', 1],
      ['break', 'Receive', receive, 'Unavailable', 1],
      // What has begun to be answered is never tried again.
      ['unavailable-late', 'Receive', receive, 'Unavailable', 1],
      ['unavailable-late', 'ListMessages', list, 'Unavailable', 1],
    ])('%s: %s', async (behaviour, _method, call, expected, engines) => {
      // Whichever engine is chosen first cannot take it; the other can.
      one.behave = () => (two.calls.length === 0 ? behaviour : 'answer');
      two.behave = () => (one.calls.length === 0 ? behaviour : 'answer');
      expect(await outcome(call())).toBe(expected);
      expect([one, two].filter(({ calls }) => calls.length > 0)).toHaveLength(engines);
    });
  });

  test('answers of engines, however bad, do not have them taken out', async () => {
    one.behave = two.behave = () => 'unavailable';
    for (let call = 0; call < 30; call++) await (await post({}, listMessages.replace('List', 'No'))).text();
    expect(await edge.healthyEngines()).toHaveLength(2);
  });

  test('lets pages of the origins that it lists call, and says so in their preflights', async () => {
    const preflight = (origin: string) =>
      fetch(`http://${edge.address}${listMessages}`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,connect-protocol-version,authorization',
        },
      });
    const allowed = await preflight(allowedOrigin);
    expect(allowed.status).toBe(200);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(allowedOrigin);
    expect(allowed.headers.get('access-control-allow-headers')).toContain('connect-protocol-version');
    expect(allowed.headers.get('access-control-allow-headers')).toContain('authorization');
    const foreign = await preflight(foreignOrigin);
    expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
    expect(reached()).toEqual([]);

    const answered = await post({ origin: allowedOrigin });
    expect(answered.headers.get('access-control-allow-origin')).toBe(allowedOrigin);
    expect(answered.headers.get('access-control-expose-headers')).toContain('grpc-status-details-bin');
    // An engine refuses pages that are not its own.
    await post({ origin: foreignOrigin });
    expect(new Set(reached().map(({ origin }) => origin))).toEqual(new Set([undefined, foreignOrigin]));
  });

  test('knows no paths but those of calls', async () => {
    for (const path of ['/', '/metrics', '/healthz', '/agentx/../metrics', '/agentx.%2e%2e%2fmetrics']) {
      expect([path, (await post({}, path)).ok]).toEqual([path, false]);
    }
    expect(reached()).toEqual([]);
  });

  test('holds one client back, and no other', async () => {
    const statuses = new Set<number>();
    const maxCalls = 5000;
    for (let calls = 0; calls < maxCalls && !statuses.has(429); calls += 50) {
      for (const { status } of await Promise.all(Array.from({ length: 50 }, () => post({}))))
        statuses.add(status);
    }
    expect([...statuses].sort()).toEqual([200, 429]);
    const { path: curl } = await requirePart('curl');
    const args = [
      '-sS',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      '-d',
      '{}',
      '-H',
      'content-type: application/json',
    ];
    const other = await run(curl, [
      ...args,
      '--interface',
      '127.0.0.2',
      `http://${edge.address}${listMessages}`,
    ]);
    expect(other.stdout.toString()).toBe('200');
  });

  test('takes up engines that come, and lets go of those that leave', async () => {
    await using three = await startFakeEngine();
    await edge.replaceEngines([three.address]);
    await edge.untilHealthy(three.address);
    await waitFor(async () => (await post({})).status === 200, { what: 'the bucket of this client to fill' });
    expect(three.calls.length).toBeGreaterThan(0);
    expect(reached()).toEqual([]);
  });

  // The last one: from here on there is no engine.
  test('says UNAVAILABLE when there is no engine', async () => {
    await edge.replaceEngines([]);
    await edge.untilHealthy();
    const failed = await engine()
      .listMessages({ agentId: 'a1' })
      .then(() => undefined, ConnectError.from);
    expect(failed?.code).toBe(Code.Unavailable);
  });
});
