import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { RequestHandler } from '../mounts/connect.ts';
import { readToEnd } from '../mounts/read-to-end.ts';

/** Header by which a page may send the token instead of the cookie. */
export const BROWSER_TOKEN_HEADER = 'x-agentx-browser-token';
const COOKIE = 'agentx-browser-token';

/** `/agentx.engine.v1.EngineService/Receive` */
const callPath = /^\/[^/?]*\.[^/?]*\//;

type Request = IncomingMessage | Http2ServerRequest;

/**
 * Lets calls of browsers pass with a token only that is made anew for each start. Whatever is fetched that is no call
 * (the page at `/`, above all) brings it as a cookie, which no script can read and which is not sent along from pages of
 * other sites; so pages of this server have it and others do not. A
 * caller that is no browser (no Origin, no Sec-Fetch-Site) needs none: whoever runs programs on this machine needs
 * no browser's help.
 *
 * Goes behind `guardOrigin`, which has refused pages of other origins.
 */
export function requireBrowserToken(handler: RequestHandler): RequestHandler {
  const token = randomBytes(32).toString('base64url');
  const cookie = `${COOKIE}=${token}; Path=/; HttpOnly; SameSite=Strict`;
  return (request, response) => {
    const known = tokensOf(request).some((sent) => isSame(sent, token));
    const page = request.method === 'GET' && !callPath.test(request.url ?? '');
    if (page && !known) response.setHeader('set-cookie', cookie);
    if (known || page || !comesFromBrowser(request)) handler(request, response);
    else refuse(request, response);
  };
}

function comesFromBrowser({ headers }: Request): boolean {
  return headers.origin !== undefined || headers['sec-fetch-site'] !== undefined;
}

function tokensOf({ headers }: Request): string[] {
  const header = headers[BROWSER_TOKEN_HEADER];
  const cookies = (headers.cookie ?? '').split(';').map((pair) => pair.trim());
  return [
    ...(typeof header === 'string' ? [header] : []),
    // Servers on other ports of this host set cookies of the same name: any of them may be ours.
    ...cookies.filter((pair) => pair.startsWith(`${COOKIE}=`)).map((pair) => pair.slice(COOKIE.length + 1)),
  ];
}

function isSame(sent: string, token: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(sent), digest(token));
}

/** By a status that gRPC-Web and Connect clients take for UNAUTHENTICATED. */
function refuse(request: Request, response: ServerResponse | Http2ServerResponse): void {
  readToEnd(request);
  response.statusCode = 401;
  response.setHeader('content-type', 'application/json');
  const message = 'the page has no token of this start: load it again from /';
  response.end(JSON.stringify({ code: 'unauthenticated', message }));
}
