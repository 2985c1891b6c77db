import { request as httpRequest } from 'node:http';
import { connect as connectHttp2, constants } from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { toBinary, create } from '@bufbuild/protobuf';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@agentx/client';
import { EngineService, SubscribeRequestSchema } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { pino } from 'pino';
import { DomainError } from '../errors.ts';
import { createHealth } from '../health/health.ts';
import { createServiceChain } from '../middleware.ts';
import { defineService } from '../service.ts';
import type { Handlers } from '../service.ts';
import { mountConnect } from './connect.ts';
import { createOnePortServer } from './one-port.ts';
import type { OnePortOptions } from './one-port.ts';
import type { ListenAddress, RpcServer } from './rpc-server.ts';

const log = pino({ level: 'silent' });
const subscribePath = '/agentx.engine.v1.EngineService/Subscribe';
const getTurnPath = '/agentx.engine.v1.EngineService/GetTurn';
const getTurnBody = '{"agentId":"a1","turnId":"t1"}';
const json = { 'content-type': 'application/json' };

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function serve(
  handlers: Handlers<typeof EngineService>,
  options: Partial<OnePortOptions> = {},
  address = '127.0.0.1:0',
): Promise<ListenAddress & { server: RpcServer }> {
  const service = defineService(EngineService, handlers);
  const handler = mountConnect([service], createServiceChain({ log }), {
    log,
    health: createHealth([service]),
    fallback: (_request, response) => response.end('a page'),
  });
  const server = createOnePortServer({ handler, ...options });
  const listening = await server.listen(address);
  cleanUps.push(() => server.close(0));
  return { ...listening, server };
}

const getTurn: Handlers<typeof EngineService>['getTurn'] = ({ turnId }) =>
  Promise.resolve({ turn: { turnId } });

/** Sends a request with any headers at all; answers status, headers and body. */
function send(
  url: string,
  headers: Record<string, string>,
  body?: string,
  method = body === undefined ? 'GET' : 'POST',
) {
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>(
    (resolve, reject) => {
      const request = httpRequest(url, { method, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
      });
      request.on('error', reject);
      request.end(body);
    },
  );
}

function http2Session(url: string): ClientHttp2Session {
  const session = connectHttp2(url);
  session.on('error', () => undefined);
  cleanUps.push(() => session.destroy());
  return session;
}

function subscribeByHand(session: ClientHttp2Session) {
  const message = toBinary(SubscribeRequestSchema, create(SubscribeRequestSchema, { agentId: 'a1' }));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const stream = session.request({
    ':method': 'POST',
    ':path': subscribePath,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.end(Buffer.concat([head, message]));
  stream.resume();
  return stream;
}

describe('one port', () => {
  test('takes Connect over HTTP/1.1 and gRPC over HTTP/2', async () => {
    const { url, text } = await serve({ getTurn });
    const answer = await send(url + getTurnPath, json, getTurnBody);
    expect([answer.status, JSON.parse(answer.text)]).toEqual([200, { turn: { turnId: 't1' } }]);

    const transport = createGrpcTransport({ target: text });
    cleanUps.push(() => transport.close());
    const client = createClient(EngineService, transport);
    expect((await client.getTurn({ agentId: 'a1', turnId: 't2' })).turn?.turnId).toBe('t2');
  });

  test('tells the protocol when the first bytes come one by one', async () => {
    const { port } = await serve({ getTurn });
    const ask = (bytes: string) =>
      new Promise<Buffer>((resolve, reject) => {
        const socket = connectTcp({ port, host: '127.0.0.1', noDelay: true });
        const writeAll = async () => {
          for (const byte of bytes) {
            await new Promise((written) => socket.write(byte, 'latin1', written));
            await new Promise(setImmediate);
          }
        };
        writeAll().catch(reject);
        cleanUps.push(() => socket.destroy());
        socket.once('data', resolve);
        socket.once('error', reject);
      });
    expect((await ask('PRIVATE / HTTP/1.1\r\nhost: localhost\r\n\r\n')).toString()).toMatch(/^HTTP\/1\.1 /);
    expect(
      (await ask('POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n')).toString(),
    ).toContain('a page');
    // An empty SETTINGS frame; the server answers with its own (type 4).
    const settings = await ask('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0');
    expect(settings[3]).toBe(4);
  });

  test('ends a connection that sends nothing', async () => {
    const { port } = await serve({}, { headersTimeoutMs: 20 });
    const socket = connectTcp({ port, host: '127.0.0.1' });
    await new Promise((resolve) => socket.on('close', resolve));
  });

  test('hands other requests on', async () => {
    const { url } = await serve({});
    expect((await send(`${url}/index.html`, {})).text).toBe('a page');
  });

  test('an address in use is an error that names it and says what to do', async () => {
    const { text } = await serve({});
    await expect(serve({}, {}, text)).rejects.toThrow(`ADDRESS_IN_USE: ${text} is taken`);
    await expect(serve({}, {}, text)).rejects.toThrow('AGENTX_LISTEN');
  });
});

describe('who may call', () => {
  test('pages of the same host and port, and callers that are no pages', async () => {
    const { url, text } = await serve({ getTurn });
    expect((await send(url + getTurnPath, { ...json, origin: `http://${text}` }, getTurnBody)).status).toBe(
      200,
    );
    expect((await send(url + getTurnPath, json, getTurnBody)).status).toBe(200);
  });

  test.each(['http://evil.example', 'http://127.0.0.1:1', 'null', 'file://'])(
    'not pages of %s',
    async (origin) => {
      const { url } = await serve({ getTurn: () => Promise.reject(new Error('reached')) });
      const answer = await send(url + getTurnPath, { ...json, origin }, getTurnBody);
      expect([answer.status, answer.text]).toEqual([403, `pages of ${origin} may not call this server\n`]);
      expect((await send(`${url}/`, { origin })).status).toBe(403);
    },
  );

  test('on loopback, not pages whose name was pointed here', async () => {
    const { url, port } = await serve({ getTurn });
    const host = `evil.example:${port}`;
    const answer = await send(url + getTurnPath, { ...json, host, origin: `http://${host}` }, getTurnBody);
    expect([answer.status, answer.text]).toEqual([
      403,
      `this server answers to localhost only, not to ${host}\n`,
    ]);
    for (const name of ['localhost', 'a.localhost', '[::1]', '127.0.0.2']) {
      expect((await send(`${url}/`, { host: `${name}:${port}` })).status).toBe(200);
    }
  });

  test('pages of other origins where they are allowed, preflight included', async () => {
    const { url } = await serve({ getTurn }, { allowOrigin: (origin) => origin === 'https://app.example' });
    const origin = 'https://app.example';
    const preflight = await send(
      url + getTurnPath,
      { origin, 'access-control-request-method': 'POST' },
      undefined,
      'OPTIONS',
    );
    expect(preflight.status).toBe(204);
    expect(preflight.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': expect.stringContaining('POST'),
      'access-control-allow-headers': expect.stringMatching(/connect-protocol-version/i),
    });
    const answer = await send(url + getTurnPath, { ...json, origin }, getTurnBody);
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, origin]);
    expect((await send(`${url}/`, { origin: 'https://other.example' })).status).toBe(403);
  });
});

describe('a server stream', () => {
  test('sends no headers before its first message', async () => {
    const first = Promise.withResolvers<undefined>();
    const running = Promise.withResolvers<undefined>();
    const { url } = await serve({
      getTurn,
      async *subscribe() {
        running.resolve(undefined);
        await first.promise;
        yield { event: { turnId: 'x' } };
      },
    });
    const session = http2Session(url);
    const order: string[] = [];
    const stream = subscribeByHand(session);
    const answered = new Promise((resolve) => {
      stream.on('response', () => {
        order.push('headers');
        resolve(undefined);
      });
    });
    await running.promise;
    // A whole call on the same connection: had headers been sent, they would be here before its answer.
    const other = session.request({ ':path': '/' });
    other.resume();
    await new Promise((resolve) => other.on('end', resolve));
    order.push('another call');
    first.resolve(undefined);
    await answered;
    expect(order).toEqual(['another call', 'headers']);
  });

  test('that fails before its first message is answered by headers alone, with the status', async () => {
    const { url } = await serve({
      // eslint-disable-next-line require-yield
      async *subscribe() {
        throw new DomainError(Code.Unavailable, 'DRAINING', 'try again, another engine answers: soon');
      },
    });
    const stream = subscribeByHand(http2Session(url));
    const [headers, flags] = await new Promise<[IncomingHttpHeaders, number]>((resolve) =>
      stream.on('response', (received, itsFlags) => resolve([received, itsFlags])),
    );
    expect(headers).toMatchObject({
      ':status': 200,
      'content-type': 'application/grpc+proto',
      'grpc-status': '14',
      'grpc-message': 'try again, another engine answers: soon',
    });
    expect(headers['grpc-status-details-bin']).toBeDefined();
    expect(flags & constants.NGHTTP2_FLAG_END_STREAM).not.toBe(0);
  });

  test.each([
    ['ends its side of the connection', (socket: Socket) => socket.end()],
    ['is gone', (socket: Socket) => socket.destroy()],
  ])('is cancelled when its caller %s', async (_how, leave) => {
    const cleaned = Promise.withResolvers<undefined>();
    const { port } = await serve({
      async *subscribe(_request, { signal }) {
        try {
          yield { event: { turnId: 'x' } };
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        } finally {
          cleaned.resolve(undefined);
        }
      },
    });
    const socket = connectTcp({ port, host: '127.0.0.1' });
    const session = connectHttp2('http://localhost', { createConnection: () => socket });
    session.on('error', () => undefined);
    const stream = subscribeByHand(session);
    stream.on('error', () => undefined);
    await new Promise((resolve) => stream.once('response', resolve));
    leave(socket);
    await cleaned.promise;
    session.destroy();
  });
});

describe('closing', () => {
  test('lets a running call finish and takes no new connections', async () => {
    const started = Promise.withResolvers<undefined>();
    const finish = Promise.withResolvers<undefined>();
    const { url, server } = await serve({
      async getTurn({ turnId }) {
        started.resolve(undefined);
        await finish.promise;
        return { turn: { turnId } };
      },
    });
    const answer = send(url + getTurnPath, { ...json, connection: 'keep-alive' }, getTurnBody);
    await started.promise;
    const closed = server.close(60_000);
    await expect(send(`${url}/`, {})).rejects.toThrow('ECONNREFUSED');
    finish.resolve(undefined);
    expect((await answer).status).toBe(200);
    await closed;
  });

  test('cuts what is still running when its time is over', async () => {
    const { url, server } = await serve({
      async *subscribe() {
        yield { event: { turnId: 'x' } };
        await new Promise(() => undefined);
      },
    });
    const stream = subscribeByHand(http2Session(url));
    stream.on('error', () => undefined);
    await new Promise((resolve) => stream.once('response', resolve));
    const ended = new Promise((resolve) => stream.once('close', resolve));
    await server.close(10);
    await ended;
  });
});
