import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { formatHostPort, parseHostPort } from '../env/index.ts';
import type { Logger } from '../logging/index.ts';
import { redactText } from '../logging/index.ts';
import type { Metrics } from './metrics.ts';
import type { Readiness } from './readiness.ts';

export interface OpsOptions {
  /** Where to listen: AGENTX_OPS_LISTEN. */
  readonly listen: string;
  readonly metrics: Pick<Metrics, 'registry'>;
  /** Whether the program can do its work; see `createReadiness`. */
  readonly ready: () => Readiness;
  readonly log: Logger;
}

/** The server of `/metrics`, `/healthz` and `/readyz`. */
export interface Ops extends AsyncDisposable {
  /** `host:port` that it listens on. */
  readonly address: string;
  close(): Promise<void>;
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  send(response, status, 'application/json', `${redactText(JSON.stringify(value))}\n`);
}

async function answer(path: string, options: OpsOptions, response: ServerResponse): Promise<void> {
  switch (path) {
    case '/healthz':
      sendJson(response, 200, { ok: true });
      return;
    case '/readyz': {
      const readiness = options.ready();
      sendJson(response, readiness.ok ? 200 : 503, readiness);
      return;
    }
    case '/metrics':
      send(response, 200, options.metrics.registry.contentType, await options.metrics.registry.metrics());
      return;
    default:
      sendJson(response, 404, { error: 'there are /metrics, /healthz and /readyz' });
  }
}

/**
 * Serves `/metrics` (Prometheus text), `/healthz` (200 while the process answers) and `/readyz` (200 or 503, JSON with
 * each dependency's last outcome). Rejects when it cannot listen.
 */
export async function startOps(options: OpsOptions): Promise<Ops> {
  const { host, port } = parseHostPort(options.listen);
  const server = createServer((request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      sendJson(response, 405, { error: 'only GET and HEAD' });
      return;
    }
    const path = (request.url ?? '/').replace(/\?.*$/, '');
    answer(path, options, response).catch((err: unknown) => {
      options.log.error({ err, path }, 'ops request failed');
      if (!response.headersSent) sendJson(response, 500, { error: 'internal error' });
      else response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const bound = server.address() as AddressInfo;
  return {
    address: formatHostPort({ host, port: bound.port }),
    close,
    [Symbol.asyncDispose]: close,
  };
}
