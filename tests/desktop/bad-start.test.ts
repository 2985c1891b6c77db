import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  agentxEnvironment,
  bounded,
  collect,
  desktopCommand,
  freePort,
  refusalOf,
  startDesktop,
  startProcess,
  streamedText,
  temporaryFolder,
} from '@agentx/testing';
import type { Desktop, TemporaryFolder } from '@agentx/testing';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';

let folder: TemporaryFolder;
let first: Desktop;

beforeAll(async () => {
  folder = await temporaryFolder();
  first = await startDesktop({ folder: join(folder.path, 'first') });
}, 40_000);

afterAll(async () => {
  await first.stop();
  await folder.remove();
});

/** Runs a program that is to refuse: its exit code and what it says. */
async function run(options: { args?: string[]; env: NodeJS.ProcessEnv }) {
  const command = desktopCommand({ folder: join(folder.path, 'other'), port: await freePort() });
  await using process = await startProcess({
    ...command,
    ...(options.args && { args: ['--disable-warning=ExperimentalWarning', ...options.args] }),
    env: options.env,
  });
  const { code } = await process.exited;
  return { code, output: [...process.stdout, ...process.stderr].join('\n') };
}

async function runDesktop(data: string, port: number, env: NodeJS.ProcessEnv = {}) {
  return run({ env: desktopCommand({ folder: join(folder.path, data), port, env }).env });
}

/** The first process is unharmed: it answers and keeps what it had. */
async function isUnharmed(): Promise<void> {
  const before = await collect(first.engine.subscribe({ agentId: 'a' }, bounded())).catch(() => []);
  const said = await collect(
    first.engine.receive({ agentId: 'a', input: { case: 'text', value: 'hello' } }, bounded()),
  );
  expect(streamedText(said)).toContain('You said: hello');
  const after = await collect(first.engine.subscribe({ agentId: 'a' }, bounded()));
  expect(after).toHaveLength(before.length + said.length - 1);
}

test('the address of another AgentX', async () => {
  await isUnharmed();
  const { code, output } = await runDesktop('second', first.port);
  expect(output).toMatch(new RegExp(`127.0.0.1:(?:${first.port}|${first.port + 1000}) .*AGENTX_LISTEN`));
  expect(output).not.toMatch(/^\s+at /m);
  expect(code).toBe(1);
  await isUnharmed();
});

test('a port that another program has', async () => {
  const port = await freePort();
  await using other = createServer().listen(port, '127.0.0.1');
  await once(other, 'listening');
  const { code, output } = await runDesktop('second', port);
  expect(output).toMatch(new RegExp(`127.0.0.1:${port} .*AGENTX_LISTEN`));
  expect(output).not.toMatch(/^\s+at /m);
  expect(code).toBe(1);
});

test('a port for metrics that is taken', async () => {
  const opsPort = first.port + 1000;
  const env = { AGENTX_OPS_LISTEN: `127.0.0.1:${opsPort}` };
  const { code, output } = await runDesktop('third', await freePort(), env);
  expect(output).toMatch(new RegExp(`127.0.0.1:${opsPort} .*AGENTX_OPS_LISTEN`));
  expect(code).toBe(1);
  await isUnharmed();
});

test('data that another process uses', async () => {
  const { code, output } = await runDesktop('first', await freePort());
  expect(output).toContain(`another AgentX process uses ${first.databases}`);
  expect(output).toContain('AGENTX_DATABASE_URL');
  expect(output).not.toMatch(/^\s+at /m);
  expect(code).toBe(1);
  await isUnharmed();
});

describe('an environment that is wrong', () => {
  test('is told whole, with what would be right', async () => {
    const { code, output } = await runDesktop('fourth', await freePort(), {
      AGENTX_LISTEN: 'nowhere',
      AGENTX_LEASE_TTL_MS: '5s',
      AGENTX_PROVIDER: 'oracle',
      AGENTX_AUTO_CREATE_AGENTS: 'maybe',
      AGENTX_DATABASE_URL: 'mysql://user:very-secret@host/db',
      AGENTX_LOG_LEVEL: 'loud',
      AGENTX_MODLE: 'claude-opus-4-5',
      AGENTX_XYZZY: '1',
    });
    expect(code).toBe(2);
    expect(output).toContain('desktop cannot start: 8 problems in the environment.');
    for (const line of [
      /AGENTX_LISTEN="nowhere" .*host:port/,
      /AGENTX_LEASE_TTL_MS="5s" .*whole number/,
      /AGENTX_PROVIDER="oracle" .*anthropic.*simulated/,
      /AGENTX_AUTO_CREATE_AGENTS="maybe" .*true.*false/,
      /AGENTX_DATABASE_URL=.*sqlite:.*postgres:/,
      /AGENTX_LOG_LEVEL="loud" .*debug/,
      /AGENTX_MODLE .*Did you mean AGENTX_MODEL\?/,
      /AGENTX_XYZZY is not a variable that AgentX knows/,
    ])
      expect(output).toMatch(line);
    expect(output).not.toContain('very-secret');
    expect(output).toContain('docs/reference.md');
    expect(output).not.toMatch(/^\s+at /m);
  });

  test('an engine without stores or a key refuses, and says what is missing', async () => {
    const { code, output } = await run({
      args: ['services/engine/src/main.ts'],
      env: agentxEnvironment({ AGENTX_LISTEN: `127.0.0.1:${await freePort()}` }),
    });
    expect(code).toBe(2);
    for (const name of [
      'AGENTX_SESSION_STORE_URL is not set',
      'AGENTX_STATS_STORE_URL is not set',
      'AGENTX_STATE_STORE_URL is not set',
      'AGENTX_WORKSPACE_ROOT is not set',
      'ANTHROPIC_API_KEY is not set',
    ])
      expect(output).toContain(name);
  });

  test('an engine with stores of its own refuses', async () => {
    const { code, output } = await run({
      args: ['services/engine/src/main.ts'],
      env: agentxEnvironment({
        AGENTX_LISTEN: `127.0.0.1:${await freePort()}`,
        AGENTX_SESSION_STORE_URL: 'local',
        AGENTX_STATS_STORE_URL: 'local',
        AGENTX_STATE_STORE_URL: 'local',
        AGENTX_WORKSPACE_ROOT: join(folder.path, 'workspaces'),
        AGENTX_PROVIDER: 'simulated',
      }),
    });
    expect(code).toBe(2);
    expect(output).toMatch(/AGENTX_SESSION_STORE_URL="local" .*npm start/);
  });

  test.each(['session-store', 'stats-store', 'state-store'])(
    '%s without a database refuses',
    async (store) => {
      const { code, output } = await run({
        args: [`services/${store}/src/main.ts`],
        env: agentxEnvironment({ AGENTX_LISTEN: `127.0.0.1:${await freePort()}` }),
      });
      expect(code).toBe(2);
      expect(output).toMatch(/AGENTX_DATABASE_URL is not set.*postgres:\/\//);
    },
  );
});

test('where agents are not made by a first message, an unknown one is refused', async () => {
  await using desktop = await startDesktop({
    folder: join(folder.path, 'fifth'),
    env: { AGENTX_AUTO_CREATE_AGENTS: 'false' },
  });
  const refused = { code: 'NotFound', reason: 'AGENT_NOT_FOUND', metadata: { agent_id: 'nobody' } };
  const text = { case: 'text', value: 'hello' } as const;
  const refusal = await refusalOf(desktop.engine.receive({ agentId: 'nobody', input: text }, bounded()));
  expect(refusal).toMatchObject(refused);
  expect(refusal.message).toContain('AGENTX_AUTO_CREATE_AGENTS');
  // Nothing was made by the attempt.
  expect(await refusalOf(desktop.engine.listMessages({ agentId: 'nobody' }))).toMatchObject(refused);
});
