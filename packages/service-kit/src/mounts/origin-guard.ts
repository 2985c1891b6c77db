import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { cors } from '@connectrpc/connect';
import { readToEnd } from './read-to-end.ts';

/** Tells whether pages of an origin (`https://host:port`) may call the server that they know as `host` (`host:port`). */
export type AllowOrigin = (origin: string, host: string) => boolean;

/** Only pages that came from this very host and port. The scheme is not compared: a proxy may have taken TLS off. */
export const sameOriginOnly: AllowOrigin = (origin, host) =>
  URL.canParse(origin) && new URL(origin).host === withoutDefaultPort(host);

const loopbackName = /^(?:localhost|[a-z0-9.-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/;

/**
 * Answers requests that may not come in, and preflights of those that may; true: it is answered.
 *
 * A web page can make its visitor's browser call servers on the visitor's own machine. Such a call names the page's
 * origin, which must be allowed. A page whose host name was pointed at 127.0.0.1 after it was loaded counts as the same
 * origin; it is known by the name in Host, so a server that listens on loopback answers to loopback names only.
 */
export function guardOrigin(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  options: { readonly allowOrigin: AllowOrigin; readonly loopback: boolean },
): boolean {
  const host = hostOf(request)?.toLowerCase();
  if (host === undefined) return refuse(request, response, 400, 'the request names no host');
  if (options.loopback && !loopbackName.test(host)) {
    return refuse(request, response, 403, `this server answers to localhost only, not to ${host}`);
  }
  const { origin } = request.headers;
  if (origin === undefined) return false;
  if (!options.allowOrigin(origin, host)) {
    return refuse(request, response, 403, `pages of ${origin} may not call this server`);
  }
  if (sameOriginOnly(origin, host)) return false;
  response.setHeader('access-control-allow-origin', origin);
  response.setHeader('access-control-expose-headers', cors.exposedHeaders.join(', '));
  response.setHeader('vary', 'origin');
  if (request.method !== 'OPTIONS') return false;
  response.setHeader('access-control-allow-methods', cors.allowedMethods.join(', '));
  response.setHeader('access-control-allow-headers', [...cors.allowedHeaders, 'authorization'].join(', '));
  response.setHeader('access-control-max-age', '7200');
  response.statusCode = 204;
  response.end();
  return true;
}

function hostOf(request: IncomingMessage | Http2ServerRequest): string | undefined {
  return 'authority' in request ? request.authority : request.headers.host;
}

function withoutDefaultPort(host: string): string {
  return host.replace(/:(?:80|443)$/, '');
}

function refuse(
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  status: number,
  text: string,
): true {
  readToEnd(request);
  response.statusCode = status;
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(`${text}\n`);
  return true;
}
