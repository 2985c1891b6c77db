import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createOnePortServer } from '../mounts/one-port.ts';
import type { RpcServer } from '../mounts/rpc-server.ts';
import { BROWSER_TOKEN_HEADER, requireBrowserToken } from './browser-token.ts';

const CALL = '/agentx.engine.v1.EngineService/GetTurn';

let server: RpcServer;
let url: string;
beforeAll(async () => {
  const handler = requireBrowserToken((_request, response) => {
    response.end('served');
  });
  server = createOnePortServer({ handler });
  ({ url } = await server.listen('127.0.0.1:0'));
});
afterAll(() => server.close(0));

const post = (headers: Record<string, string>, path = CALL) =>
  fetch(`${url}${path}`, { method: 'POST', headers, body: '{}' });

async function cookieOf(path: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${url}${path}`, { headers });
  return response.headers.get('set-cookie') ?? '';
}

test('a page of this server is given the token by the page at /, and calls with it', async () => {
  const setCookie = await cookieOf('/');
  expect(setCookie).toMatch(/^agentx-browser-token=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/);
  const [cookie = ''] = setCookie.split(';');
  const page = { origin: url, 'sec-fetch-site': 'same-origin' };
  expect((await post({ ...page, cookie })).status).toBe(200);
  // Another program on this host may have set a cookie of the same name.
  expect((await post({ ...page, cookie: `agentx-browser-token=old; ${cookie}` })).status).toBe(200);
  expect((await post({ ...page, [BROWSER_TOKEN_HEADER]: cookie.split('=')[1] ?? '' })).status).toBe(200);
  expect(await cookieOf('/', { cookie })).toBe('');
});

test('a browser without the token, or with that of another start: 401, and how to mend it', async () => {
  for (const cookie of ['', 'agentx-browser-token=', `agentx-browser-token=${'x'.repeat(43)}`]) {
    const response = await post({ origin: url, cookie });
    expect(response.status).toBe(401);
    expect(await response.json()).toEqual({
      code: 'unauthenticated',
      message: 'the page has no token of this start: load it again from /',
    });
  }
});

test('a GET that calls is a call: a browser that names no origin needs the token too', async () => {
  const response = await fetch(`${url}${CALL}?message=%7B%7D`, {
    headers: { 'sec-fetch-site': 'cross-site' },
  });
  expect(response.status).toBe(401);
  expect(response.headers.get('set-cookie')).toBeNull();
});

test('a page of another origin gets nothing, with or without the token', async () => {
  const [cookie = ''] = (await cookieOf('/')).split(';');
  for (const origin of ['http://evil.example', 'http://127.0.0.1:1', 'null'])
    expect((await post({ origin, cookie })).status).toBe(403);
});

test('callers that are no browsers need no token', async () => {
  expect((await post({})).status).toBe(200);
  expect(await cookieOf(CALL)).toBe('');
});
