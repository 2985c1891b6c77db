/** Who may call a desktop, which wants no tokens: programs of this machine, and pages of its own. */
import { desktopCommand, runCommand, startDesktop, temporaryFolder } from '@agentx/testing';
import type { Desktop, TemporaryFolder } from '@agentx/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { request } from 'node:http';

let folder: TemporaryFolder;
let desktop: Desktop;
beforeAll(async () => {
  folder = await temporaryFolder();
  desktop = await startDesktop({ folder: folder.path });
}, 40_000);
afterAll(async () => {
  await desktop.stop();
  await folder.remove();
});

const getUsage = (headers: Record<string, string> = {}) =>
  fetch(`${desktop.url}/agentx.engine.v1.EngineService/GetUsage`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: '{}',
  });

test('a program without an Origin needs nothing', async () => {
  expect((await getUsage()).status).toBe(200);
});

test('a page of its own gets the token from / and calls with it; without it the call is refused', async () => {
  const page = await fetch(`${desktop.url}/`);
  const [cookie = ''] = (page.headers.get('set-cookie') ?? '').split(';');
  expect(cookie).not.toBe('');
  expect((await getUsage({ origin: desktop.url, cookie })).status).toBe(200);
  expect((await getUsage({ origin: desktop.url })).status).toBe(401);
});

test('a page of another origin gets 403, whatever it sends', async () => {
  const [cookie = ''] = ((await fetch(`${desktop.url}/`)).headers.get('set-cookie') ?? '').split(';');
  for (const origin of ['https://evil.example', 'http://localhost:1', 'null'])
    expect((await getUsage({ origin, cookie })).status).toBe(403);
});

test('a name that was pointed at this machine gets 403', async () => {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    request(desktop.url, { headers: { host: 'rebound.example' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
  expect(status).toBe(403);
});

test('it does not start where other machines reach it, and says how it would', async () => {
  const command = desktopCommand({ folder: folder.path, port: 0, env: { AGENTX_LISTEN: '0.0.0.0:0' } });
  const { code, stderr } = await runCommand(command.command, command.args, command);
  expect(code).toBe(2);
  expect(stderr).toContain(
    'AGENTX_LISTEN="0.0.0.0:0" can be reached from other machines, and nothing tells who calls',
  );
  expect(stderr).toContain('AGENTX_INSECURE_ALLOW_UNAUTHENTICATED=true');
});
