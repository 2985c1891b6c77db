import { once } from 'node:events';
import { constants, createServer } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';

/**
 * How a fake engine treats a call: answers it, refuses the stream unread, answers UNAVAILABLE before any message,
 * answers UNAVAILABLE after one, or breaks the stream after it was sent the request.
 */
export type Behaviour = 'answer' | 'refuse' | 'unavailable' | 'unavailable-late' | 'break';

/** An HTTP/2 server that is well in the eyes of the edge, and shows what reached it. */
export interface FakeEngine extends AsyncDisposable {
  readonly address: string;
  /** The headers of each call that reached it. */
  readonly calls: IncomingHttpHeaders[];
  /** What it does with its next call; by default it answers. */
  behave: () => Behaviour;
}

const SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 1]);
const EMPTY_MESSAGE = Buffer.alloc(5);

export async function startFakeEngine(): Promise<FakeEngine> {
  const server = createServer();
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  server.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => undefined);
    const path = String(headers[':path']);
    if (path.startsWith('/grpc.health.v1.Health/')) {
      answerGrpc(stream, SERVING, 0);
      return;
    }
    fake.calls.push(headers);
    const isGrpc = headers['content-type']?.startsWith('application/grpc') === true;
    treat(stream, fake.behave(), isGrpc);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fake: FakeEngine = {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls: [],
    behave: () => 'answer',
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
  return fake;
}

function treat(stream: ServerHttp2Stream, behaviour: Behaviour, isGrpc: boolean): void {
  switch (behaviour) {
    case 'refuse':
      stream.close(constants.NGHTTP2_REFUSED_STREAM);
      return;
    case 'break':
      stream.close(constants.NGHTTP2_INTERNAL_ERROR);
      return;
    case 'unavailable':
      if (isGrpc)
        stream.respond({ 'content-type': 'application/grpc', 'grpc-status': '14' }, { endStream: true });
      else stream.respond({ ':status': 503 }, { endStream: true });
      return;
    case 'unavailable-late':
      answerGrpc(stream, EMPTY_MESSAGE, 14);
      return;
    case 'answer':
      if (isGrpc) answerGrpc(stream, EMPTY_MESSAGE, 0);
      else stream.respond({ 'content-type': 'application/json' });
      if (!isGrpc) stream.end('{}');
  }
}

function answerGrpc(stream: ServerHttp2Stream, body: Buffer, status: number): void {
  stream.respond({ 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': String(status) }));
  stream.end(body);
}
