import { describe, expect, test } from '@jest/globals';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescService } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel as IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import {
  EngineService,
  GetTurnRequestSchema,
  GetTurnResponseSchema,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createAgentxClient } from './agentx-client.ts';
import { createGrpcTransport } from './grpc-transport.ts';

const turnRequest = { agentId: 'a1', turnId: 't1' };

type Answer = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;

/** A gRPC server that knows GetTurn; answers its port. */
async function serve(getTurn: Answer, port = 0): Promise<{ port: number; server: Server }> {
  const server = new Server();
  const pass = (bytes: Buffer) => bytes;
  const getTurnMethod = {
    path: `/${EngineService.typeName}/GetTurn`,
    requestStream: false,
    responseStream: false,
    requestSerialize: pass,
    requestDeserialize: pass,
    responseSerialize: pass,
    responseDeserialize: pass,
  };
  server.addService({ getTurn: getTurnMethod }, { getTurn });
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, to) =>
      error === null ? resolve(to) : reject(error),
    ),
  );
  return { port: bound, server };
}

const answers =
  (name: string): Answer =>
  (call, answer) => {
    const { turnId } = fromBinary(GetTurnRequestSchema, call.request);
    const response = create(GetTurnResponseSchema, { turn: { agentId: name, turnId } });
    answer(null, Buffer.from(toBinary(GetTurnResponseSchema, response)));
  };

/** The engine's service with all its methods marked. */
const marked = (idempotency: IdempotencyLevel): DescService => ({
  ...(EngineService as DescService),
  methods: EngineService.methods.map((method) => ({ ...method, idempotency })),
});

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => (error instanceof ConnectError ? error.code : error),
  );

describe('a gRPC transport', () => {
  test('goes round over the addresses of its target', async () => {
    const servers = await Promise.all([serve(answers('one')), serve(answers('two'))]);
    const target = `ipv4:${servers.map(({ port }) => `127.0.0.1:${port}`).join()}`;
    const transport = createGrpcTransport({ target, waitForReady: true });
    const client = createClient(EngineService, transport);
    const seen = new Set<string | undefined>();
    try {
      while (seen.size < 2) seen.add((await client.getTurn(turnRequest)).turn?.agentId);
      expect([...seen].sort()).toEqual(['one', 'two']);
    } finally {
      transport.close();
      for (const { server } of servers) server.forceShutdown();
    }
  });

  test('says UNAVAILABLE when nobody answers, and comes back with the server', async () => {
    const { port, server } = await serve(answers('first'));
    const transport = createGrpcTransport({ target: `127.0.0.1:${port}` });
    const client = createClient(EngineService, transport);
    try {
      expect(transport.lastOutcome).toBeUndefined();
      await client.getTurn(turnRequest);
      expect(transport.lastOutcome?.ok).toBe(true);
      server.forceShutdown();
      while ((await codeOf(client.getTurn(turnRequest))) === undefined);
      expect(await codeOf(client.getTurn(turnRequest))).toBe(Code.Unavailable);
      expect(transport.lastOutcome).toMatchObject({ ok: false });
      const again = await serve(answers('second'), port);
      await transport.ready(20_000);
      expect((await client.getTurn(turnRequest)).turn?.agentId).toBe('second');
      expect(transport.lastOutcome?.ok).toBe(true);
      again.server.forceShutdown();
    } finally {
      transport.close();
    }
  });

  test('with waitForReady, a call waits for the server to come', async () => {
    const { port, server } = await serve(answers('gone'));
    server.forceShutdown();
    const transport = createGrpcTransport({ target: `127.0.0.1:${port}`, waitForReady: true });
    const call = createClient(EngineService, transport).getTurn(turnRequest, { timeoutMs: 20_000 });
    await expect(transport.ready(50)).rejects.toMatchObject({ code: Code.Unavailable });
    const started = await serve(answers('here'), port);
    expect((await call).turn?.agentId).toBe('here');
    transport.close();
    started.server.forceShutdown();
  });

  test('sends its own headers and those of the call, and gives those of the answer', async () => {
    const { port, server } = await serve((call, answer) => {
      const { metadata } = call;
      metadata.remove('user-agent');
      call.sendMetadata(metadata);
      answers('x')(call, answer);
    });
    const transport = createGrpcTransport({ target: `127.0.0.1:${port}`, header: { 'x-one': '1' } });
    const client = createClient(EngineService, transport);
    let received = new Headers();
    const headers = { 'x-two': '2', 'x-three-bin': Buffer.from([0, 255]).toString('base64') };
    await client.getTurn(turnRequest, { headers, onHeader: (header) => (received = header) });
    expect(['x-one', 'x-two', 'x-three-bin'].map((name) => received.get(name))).toEqual(['1', '2', 'AP8=']);
    transport.close();
    server.forceShutdown();
  });

  test('calls that name no timeout have the default one', async () => {
    const { port, server } = await serve(() => undefined);
    const transport = createGrpcTransport({ target: `127.0.0.1:${port}`, defaultTimeoutMs: 50 });
    expect(await codeOf(createClient(EngineService, transport).getTurn(turnRequest))).toBe(
      Code.DeadlineExceeded,
    );
    transport.close();
    server.forceShutdown();
  });

  test('a call with an effect is sent once, even when the server says UNAVAILABLE', async () => {
    let calls = 0;
    const { port, server } = await serve((_call, answer) => {
      calls++;
      answer({ code: status.UNAVAILABLE, details: 'busy' });
    });
    const transport = createGrpcTransport({
      target: `127.0.0.1:${port}`,
      services: [marked(IdempotencyLevel.IDEMPOTENCY_UNKNOWN)],
    });
    expect(await codeOf(createClient(EngineService, transport).getTurn(turnRequest))).toBe(Code.Unavailable);
    expect(calls).toBe(1);
    transport.close();
    server.forceShutdown();
  });

  test('a call without side effects is sent again when the server says UNAVAILABLE', async () => {
    let calls = 0;
    const { port, server } = await serve((call, answer) => {
      if (++calls < 3) answer({ code: status.UNAVAILABLE, details: 'busy' });
      else answers('x')(call, answer);
    });
    const transport = createGrpcTransport({
      target: `127.0.0.1:${port}`,
      services: [marked(IdempotencyLevel.NO_SIDE_EFFECTS)],
    });
    await createClient(EngineService, transport).getTurn(turnRequest);
    expect(calls).toBe(3);
    transport.close();
    server.forceShutdown();
  });
});

describe('a client', () => {
  test('is made from a URL', async () => {
    const { port, server } = await serve(answers('x'));
    using client = createAgentxClient({ url: `http://127.0.0.1:${port}` });
    await client.ready(5_000);
    expect((await client.engine.getTurn(turnRequest)).turn?.turnId).toBe('t1');
    server.forceShutdown();
  });

  test('sends its headers, and asks for the token before each call', async () => {
    const seen: unknown[] = [];
    const { port, server } = await serve((call, answer) => {
      seen.push([...call.metadata.get('authorization'), ...call.metadata.get('x-app')]);
      answers('x')(call, answer);
    });
    let asked = 0;
    const options = { header: { 'x-app': 'mine' }, token: () => `t${++asked}` };
    using client = createAgentxClient({ url: `http://127.0.0.1:${port}`, ...options });
    await client.engine.getTurn(turnRequest);
    await client.engine.getTurn(turnRequest, { headers: { 'x-app': 'other' } });
    expect(seen).toEqual([
      ['Bearer t1', 'mine'],
      ['Bearer t2', 'other'],
    ]);
    server.forceShutdown();
  });

  test.each(['127.0.0.1:8080', 'ftp://host', 'http://host/path', ''])('refuses "%s"', (url) => {
    expect(() => createAgentxClient({ url })).toThrow('http://host:port');
  });
});
