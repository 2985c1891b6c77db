import { startPostgres, waitFor } from '@agentx/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { call, errorInfoOf, startCall } from './harness/client-program.ts';
import { startEdge } from './harness/edge.ts';
import type { Edge } from './harness/edge.ts';
import { buildPrograms } from './harness/programs.ts';
import { startServices } from './harness/servers.ts';
import type { Server, Services } from './harness/servers.ts';
import { counted, eventsOf, newAgent, observe, text, textOf } from './suites/agents.ts';
import { allClientsSuite } from './suites/all-clients.ts';
import type { Programs } from './suites/all-clients.ts';

describe('Envoy before two engines on PostgreSQL', () => {
  const ends = new AsyncDisposableStack();
  let services: Services;
  let engines: Server[];
  let edge: Edge;
  let programs: Programs;

  beforeAll(async () => {
    const postgres = ends.use(await startPostgres({ durable: false }));
    services = ends.use(await startServices(await postgres.createDatabase()));
    engines = [await services.startEngine('engine-1'), await services.startEngine('engine-2')];
    edge = ends.use(await startEdge(engines.map(({ address }) => address)));
    programs = ends.use(await buildPrograms());
  }, 300_000);

  afterAll(() => ends.disposeAsync());

  const { receive, subscribe } = EngineService.method;
  const send = (agentId: string, words: string) =>
    call(programs.go, edge.address, receive, { agentId, input: text(words) });
  const start = (agentId: string, words: string) =>
    startCall(programs.go, edge.address, receive, { agentId, input: text(words) });

  allClientsSuite(
    () => edge.address,
    () => programs,
  );

  test('turn after turn of one agent lands on either engine, and its history and files are one', async () => {
    const agentId = newAgent();
    const client = createClient(EngineService, createConnectTransport({ baseUrl: `http://${edge.address}` }));
    const engineIds = new Set<string>();
    let turns = 0;
    // Which engine is next is chosen by chance: so many turns on one alone come once in 100,000 runs.
    while (turns < 3 || (engineIds.size < 2 && turns < 18)) {
      turns += 1;
      const input = text(`!bash echo ${turns} >> turns.txt; cat turns.txt`);
      for await (const { event } of client.receive({ agentId, input })) {
        if (event?.payload.case === 'turnEnded') engineIds.add(event.engineId);
      }
    }
    expect([...engineIds].sort()).toEqual(['engine-1', 'engine-2']);

    const { messages } = await client.listMessages({ agentId, pageSize: 1000 });
    // What the user said, the call, its result, the answer.
    expect(messages.map(({ position }) => position)).toEqual(
      Array.from({ length: 4 * turns }, (_, i) => i + 1),
    );
    const results = messages.flatMap(({ body }) =>
      body.case === 'toolResult' ? body.value.content.trim() : [],
    );
    expect(results.at(-1)?.split('\n')).toEqual(Array.from({ length: turns }, (_, i) => String(i + 1)));
  });

  test('a stream that is silent for longer than any default timeout survives, by heartbeats', async () => {
    const { messages, status } = await send(newAgent(), '!stream 2 17000');
    expect(status.code).toBe('OK');
    expect(messages.filter(({ event }) => event?.payload.case === 'heartbeat')).toHaveLength(1);
    expect(textOf(eventsOf(messages))).toContain(counted(2));
  });

  test('a reader goes on through the other engine without a gap or a duplicate, while the turn runs', async () => {
    const agentId = newAgent();
    await using whole = await start(agentId, '!stream 30 100');
    await whole.waitForLine(/"text":\s*" 5"/);
    const seen = eventsOf(whole.messages());
    const { turnId, engineId, cursor: afterCursor } = seen.at(-1)!;
    const other = engines[engineId === 'engine-1' ? 1 : 0]!;
    const request = { agentId, turnId, afterCursor, follow: true };
    const rest = await call(programs.go, other.address, subscribe, request);
    expect(rest.status.code).toBe('OK');
    const all = eventsOf((await whole.result()).messages);
    expect([...seen, ...eventsOf(rest.messages)]).toEqual(all);
    expect(textOf(all)).toContain(counted(30));
  });

  test('what it logs of a call says nothing of what was said', async () => {
    const agentId = newAgent();
    await send(agentId, 'a secret');
    const client = createClient(
      EngineService,
      createConnectTransport({ baseUrl: `http://${edge.address}`, useHttpGet: true }),
    );
    await client.listMessages({ agentId });
    const line = await waitFor(() => edge.accessLog().find(({ method }) => method === 'GET'), {
      what: 'a line about the GET request',
    });
    expect(line).toMatchObject({ path: `/${EngineService.typeName}/ListMessages`, status: 200 });
    expect(edge.process.stdout.join('\n')).not.toMatch(/a secret|message=/);
  });

  // The last one: from here on there is one engine.
  test('an engine that is told to end finishes its turn, and new turns go to the other', async () => {
    const agentId = newAgent();
    await using running = await start(agentId, '!stream 30 200');
    await running.waitForLine(/"text":\s*" 3"/);
    const { turnId, engineId } = eventsOf(running.messages())[0]!;
    const [ending, other] = engineId === 'engine-1' ? [engines[0]!, engines[1]!] : [engines[1]!, engines[0]!];
    ending.process.kill('SIGTERM');
    // Until the edge has noticed, a call may still meet the engine that ends: it says so and takes nothing.
    const refusals = [];
    for (let tries = 0; tries < 200 && (await edge.healthyEngines()).length > 1; tries++) {
      const { status } = await send(newAgent(), 'hello');
      if (status.code !== 'OK') refusals.push([status.code, errorInfoOf(status)?.['reason']]);
    }
    expect(refusals).toEqual(refusals.map(() => ['UNAVAILABLE', 'DRAINING']));
    await edge.untilHealthy(other.address);

    const later = new Set<string>();
    for (let turn = 0; turn < 6; turn++) {
      const { messages, status } = await send(newAgent(), 'hello');
      expect(status.code).toBe('OK');
      for (const event of eventsOf(messages)) later.add(event.engineId);
    }
    expect([...later]).toEqual([engineId === 'engine-1' ? 'engine-2' : 'engine-1']);

    const { messages, status } = await running.result();
    expect(status.code).toBe('OK');
    expect(textOf(eventsOf(messages))).toContain(counted(30));
    expect(await ending.process.exited).toEqual({ code: 0, signal: null });
    const { turn } = await observe(edge.address).getTurn({ agentId, turnId });
    expect(turn).toMatchObject({ engineId, stopReason: StopReason.END_TURN });
  });
});
