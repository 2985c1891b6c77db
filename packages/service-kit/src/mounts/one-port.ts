import { createServer as createHttp1Server } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { RequestHandler } from './connect.ts';
import { guardOrigin, sameOriginOnly } from './origin-guard.ts';
import type { AllowOrigin } from './origin-guard.ts';
import { listenAddress, listenError, toHostPort } from './rpc-server.ts';
import type { RpcServer } from './rpc-server.ts';

export interface OnePortOptions {
  /** Answers every request that may come in. */
  readonly handler: RequestHandler;
  /** Pages of which origins may call. Default: those of the same host and port. Callers without an Origin always may. */
  readonly allowOrigin?: AllowOrigin;
  /** Calls at a time on one HTTP/2 connection. Default: 1024. */
  readonly maxConcurrentStreams?: number;
  /** Longest time that a connection may take to send a request's headers. Default: 15,000 ms. */
  readonly headersTimeoutMs?: number;
}

/** What every HTTP/2 client sends first. No HTTP/1.1 request can begin like that. */
const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

const MAX_HEADER_BYTES = 64 * 1024;

/** A server that speaks HTTP/1.1 and cleartext HTTP/2 on one port: the first bytes of each connection tell which. */
export function createOnePortServer(options: OnePortOptions): RpcServer {
  const { allowOrigin = sameOriginOnly, headersTimeoutMs = 15_000 } = options;
  let loopback = false;
  let closing = false;

  const onRequest = (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ) => {
    // Nothing is left to be done when a connection breaks: the call's signal tells its handler.
    response.on('error', () => undefined);
    response.on('close', () => {
      if (closing) http1.closeIdleConnections();
    });
    if (!guardOrigin(request, response, { allowOrigin, loopback })) options.handler(request, response);
  };
  const http1 = createHttp1Server(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: headersTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelay: 60_000,
    },
    onRequest,
  );
  const http2 = createHttp2Server(
    {
      settings: {
        maxConcurrentStreams: options.maxConcurrentStreams ?? 1024,
        maxHeaderListSize: MAX_HEADER_BYTES,
      },
      // A proxy brings many clients on one connection: what Node allows by default to one client is too little then.
      maxSessionMemory: 1024,
      streamResetBurst: 10_000,
      streamResetRate: 1_000,
    },
    onRequest,
  );
  const sessions = new Set<ServerHttp2Session>();
  http2.on('session', (session) => {
    // One window for all calls of a connection: a call whose handler is slow to read must not hold up the others.
    session.setLocalWindowSize(16 * 1024 * 1024);
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    if (closing) session.close();
  });

  // The HTTP/1.1 server is the one that listens, so its timeouts and its close apply; HTTP/2 connections are led away.
  const [serveHttp1] = http1.listeners('connection') as ((socket: Socket) => void)[];
  if (serveHttp1 === undefined) throw new Error('the HTTP server does not listen for connections');
  http1.removeAllListeners('connection');
  const sockets = new Set<Socket>();
  const undecided = new Set<Socket>();
  http1.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => {
      sockets.delete(socket);
      undecided.delete(socket);
    });
    undecided.add(socket);
    readProtocol(socket, headersTimeoutMs, (protocol) => {
      undecided.delete(socket);
      if (protocol === 'http2') {
        // Left paused: the session takes what was put back by itself, and a resumed socket would drop it.
        // An HTTP/1.1 client may end its side early; an HTTP/2 client that does so is gone.
        socket.allowHalfOpen = false;
        http2.emit('connection', socket);
      } else {
        serveHttp1.call(http1, socket);
        socket.resume();
      }
    });
  });

  return {
    async listen(address) {
      const wanted = toHostPort(address);
      await new Promise<void>((resolve, reject) => {
        const onError = (error: NodeJS.ErrnoException) => reject(listenError(wanted, error.code, error));
        http1.once('error', onError);
        http1.listen(wanted.port, wanted.host, () => {
          http1.off('error', onError);
          resolve();
        });
      });
      const { address: ip, port } = http1.address() as AddressInfo;
      loopback = ip === '::1' || ip.startsWith('127.');
      return listenAddress({ host: wanted.host, port });
    },
    async close(graceMs) {
      closing = true;
      const closed = new Promise<void>((resolve) => http1.close(() => resolve()));
      for (const session of sessions) session.close();
      for (const socket of undecided) socket.destroy();
      const timer = setTimeout(() => {
        for (const socket of sockets) socket.destroy();
      }, graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Reads as many bytes as it takes to tell the protocol and puts them back. A connection that sends nothing is ended. */
function readProtocol(socket: Socket, timeoutMs: number, found: (protocol: 'http1' | 'http2') => void): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const ignoreError = () => undefined;
  const stop = () => {
    clearTimeout(timer);
    socket.off('data', onData);
    socket.off('end', onEnd);
    socket.off('close', stop);
  };
  const onEnd = () => socket.destroy();
  const onData = (chunk: Buffer) => {
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const length = Math.min(seen.length, HTTP2_PREFACE.length);
    const alike = seen.subarray(0, length).equals(HTTP2_PREFACE.subarray(0, length));
    if (alike && length < HTTP2_PREFACE.length) return;
    stop();
    socket.pause();
    socket.unshift(seen);
    found(alike ? 'http2' : 'http1');
    socket.off('error', ignoreError);
  };
  socket.on('error', ignoreError);
  socket.on('data', onData);
  socket.on('end', onEnd);
  socket.on('close', stop);
}
