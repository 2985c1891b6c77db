import { afterAll, afterEach, describe, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';

import { createBashTool } from './bash.ts';
import type { BashOptions } from './bash.ts';
import type { SandboxLimits } from './limits.ts';
import { createSandbox } from './sandbox.ts';
import {
  createContext,
  createFolder,
  createMarker,
  createTestSandbox,
  findProcesses,
  until,
  removeFolders,
} from './sandbox-harness.ts';
import type { ToolResult } from './tool.ts';

afterAll(removeFolders);

const CANARY = 'canary-7f3a91';
const IS_ROOT = process.getuid?.() === 0;

async function run(
  command: string,
  { projectPath = createFolder(), limits = {}, ...options }: RunOptions = {},
): Promise<ToolResult> {
  const sandbox = await createTestSandbox(limits);
  return createBashTool({ sandbox, ...options }).run({ command }, createContext({ projectPath }));
}
type RunOptions = Partial<BashOptions> & { projectPath?: string; limits?: Partial<SandboxLimits> };

/** The same commands without a sandbox: they must find what the sandbox hides, else the tests prove nothing. */
function runOpen(command: string, projectPath: string): Promise<ToolResult> {
  const sandbox = createSandbox({ mode: 'off' });
  return createBashTool({ sandbox }).run({ command }, createContext({ projectPath }));
}

describe('files', () => {
  /** A project whose neighbours hold canaries, and links that lead to them. */
  function createNeighbours() {
    const root = createFolder();
    const projectPath = join(root, 'a1');
    const outside = join(root, 'a1-evil');
    for (const folder of [projectPath, outside]) mkdirSync(folder);
    const canary = join(outside, 'secret');
    writeFileSync(canary, CANARY);
    symlinkSync(canary, join(projectPath, 'file-link'));
    symlinkSync(outside, join(projectPath, 'folder-link'));
    return { projectPath, outside, canary };
  }

  test('outside the project cannot be read', async () => {
    const { projectPath, outside, canary } = createNeighbours();
    const command = [
      `cat '${canary}' file-link folder-link/secret ../${basename(outside)}/secret`,
      `cat '/proc/self/cwd/../${basename(outside)}/secret' '/proc/1/root${canary}'`,
      'grep -rs canary-7f3a /tmp /home /root /var /run /mnt /work',
    ].join('; ');
    expect((await runOpen(command.replace(/; grep.*/, ''), projectPath)).content).toContain(CANARY);
    expect((await run(command, { projectPath })).content).not.toContain(CANARY);
  });

  test('outside the project cannot be written', async () => {
    const { projectPath, outside, canary } = createNeighbours();
    const targets = [
      ...[canary, 'file-link', 'folder-link/new', `../${basename(outside)}/new`, '../new'],
      ...['/usr/new', '/etc/new', '/new', '/dev/new', '/run/agentx/new', '/proc/sys/vm/swappiness'],
    ];
    const { content } = await run(
      targets.map((target) => `echo x > '${target}' && echo written`).join('; '),
      { projectPath },
    );
    expect(content).not.toContain('written');
    expect(readFileSync(canary, 'utf8')).toBe(CANARY);
    expect(readdirSync(outside)).toEqual(['secret']);
  });

  test('hard links to what is outside cannot be made', async () => {
    const { projectPath } = createNeighbours();
    const { content } = await run('ln /usr/bin/env hard-link && echo made', { projectPath });
    expect(content).not.toContain('made');
  });

  test('only what is declared can be written at all', async () => {
    const { content } = await run(
      "find / -writable -not -type l -not -path '/proc/*' -not -path '/dev/pts/*' 2> /dev/null; true",
    );
    expect(content.trim().split('\n').sort()).toEqual([
      ...[
        '/dev/full',
        '/dev/null',
        '/dev/pts',
        '/dev/random',
        '/dev/shm',
        '/dev/tty',
        '/dev/urandom',
        '/dev/zero',
      ],
      ...['/project', '/tmp', '/tmp/home'],
    ]);
  });

  test('of the kernel cannot be written, even by an engine that is root', async () => {
    const { content } = await run('find /proc /sys -type f -writable 2> /dev/null | head; echo end');
    expect(content).toBe('end\n');
  });

  test("of the project belong to the engine's user", async () => {
    const projectPath = createFolder();
    expect((await run('echo mine > file && stat -c %u:%g file', { projectPath })).content).toBe(
      '1000:1000\n',
    );
    expect(readFileSync(join(projectPath, 'file'), 'utf8')).toBe('mine\n');
  });

  test("of one call's /tmp are gone in the next", async () => {
    const projectPath = createFolder();
    expect((await run('echo x > /tmp/left', { projectPath })).outcome).toBe('OK');
    expect((await run('ls /tmp/left', { projectPath })).outcome).toBe('ERROR');
  });
});

describe('privileges', () => {
  test('there are none, and none can be gained', async () => {
    const { content } = await run(
      'grep -E "^(Cap|NoNewPrivs)" /proc/self/status; unshare -U true && echo namespace',
    );
    expect(content.match(/^Cap\w+:\s+0+$/gm)).toHaveLength(5);
    expect(content).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(content).not.toContain('namespace');
  });

  test('no process of the host can be seen or killed', async () => {
    const { content } = await run(`ls -d /proc/[0-9]* | wc -l; kill -0 ${process.pid} && echo reached`);
    expect(Number(content.split('\n')[0])).toBeLessThan(10);
    expect(content).not.toContain('reached');
  });

  test('the supervisor cannot be killed or stopped from within', async () => {
    const { content } = await run('kill -KILL $PPID; kill -STOP $PPID; sleep 0.1; echo "still here"');
    expect(content).toContain('still here');
  });

  test('descriptors that the engine inherited do not reach it', async () => {
    const { content } = await run('ls /proc/self/fd');
    expect(content.trim().split('\n')).toEqual(['0', '1', '2', '3', '99']);
  });
});

describe('network', () => {
  test("servers on the host's loopback are out of reach", async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.end(`${CANARY}\n`);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const { port } = server.address() as AddressInfo;
      const connect = `read -r line < /dev/tcp/127.0.0.1/${port}; echo "$line"`;
      expect((await runOpen(connect, createFolder())).content).toContain(CANARY);
      expect((await run(connect)).content).toContain('Connection refused');
      expect(connections).toBe(1);
    } finally {
      server.close();
    }
  });

  test('there is no interface but loopback', async () => {
    const { content } = await run("sed -n 's/^ *\\([^ ]*\\):.*/\\1/p' /proc/net/dev");
    expect(content).toBe('lo\n');
  });

  test("addresses of the cloud's metadata are out of reach", async () => {
    expect((await run('true < /dev/tcp/169.254.169.254/80')).content).toContain('Network is unreachable');
  });
});

describe('limits', () => {
  test('a fork bomb is stopped and leaves nothing', async () => {
    const marker = createMarker();
    const { content, outcome } = await run(`while :; do ${marker} & done`, {
      limits: { processes: 64 },
      timeoutMs: 3000,
    });
    expect(findProcesses(marker)).toEqual([]);
    expect(outcome).toBe('ERROR');
    // For an ordinary user the kernel refuses already the fork; for root the watcher kills.
    expect(content).toMatch(IS_ROOT ? /Killed: it ran more processes/ : /Resource temporarily unavailable/);
  });

  test('a memory bomb is stopped', async () => {
    const { content, outcome } = await run('tail /dev/zero', { limits: { memoryBytes: 100_000_000 } });
    expect(outcome).toBe('ERROR');
    expect(content).toMatch(/Killed: its processes used more memory/);
  });

  test('memory is counted over all processes together', async () => {
    const { content } = await run(
      'for i in 1 2 3 4; do head -c 40M /dev/zero | tail -n 1 | (sleep 60; cat) & done; wait',
      {
        limits: { memoryBytes: 100_000_000 },
        timeoutMs: 15_000,
      },
    );
    expect(content).toMatch(/Killed: its processes used more memory/);
  });

  test('/tmp and /dev/shm are bounded', async () => {
    const { content } = await run('head -c 3M /dev/zero > /tmp/x; head -c 70M /dev/zero > /dev/shm/x; true', {
      limits: { temporaryBytes: 2 * 1024 * 1024 },
    });
    expect(content.match(/No space left on device/g)).toHaveLength(2);
  });

  test('files, open files and CPU time are bounded', async () => {
    const files = await run('head -c 3M /dev/zero > big; stat -c %s big; ulimit -n', {
      limits: { fileBytes: 1024 * 1024, openFiles: 128 },
    });
    expect(files.content).toMatch(/^1048576\n128$/m);
    const cpu = await run('while :; do :; done', { limits: { cpuSeconds: 1 } });
    expect(cpu.content).toMatch(/exit code (137|152)/);
  });
});

describe('an engine of its own', () => {
  let engine: ChildProcess | undefined;
  afterEach(() => void engine?.kill('SIGKILL'));

  /** Another process that runs one command as an engine would, and prints its output. */
  async function startEngine(mode: 'bubblewrap' | 'off', command: string): Promise<ChildProcess> {
    const sandbox = mode === 'off' ? `createSandbox({ mode: 'off' })` : 'await createTestSandbox()';
    const program = `
      const { createBashTool } = await import(${JSON.stringify(join(import.meta.dirname, 'bash.ts'))});
      const { createSandbox } = await import(${JSON.stringify(join(import.meta.dirname, 'sandbox.ts'))});
      const { createTestSandbox, createContext } = await import(${JSON.stringify(join(import.meta.dirname, 'sandbox-harness.ts'))});
      let beat;
      setInterval(() => beat?.(), 100).unref();
      const heartbeat = { maxSilenceMs: 1000, onBeat: (listener) => { beat = listener; return () => {}; } };
      const tool = createBashTool({ sandbox: ${sandbox} });
      const result = await tool.run({ command: ${JSON.stringify(command)} }, createContext({ heartbeat, projectPath: ${JSON.stringify(createFolder())} }));
      console.log(result.content);
    `;
    engine = spawn(
      process.execPath,
      ['--input-type=module', '--disable-warning=ExperimentalWarning', '-e', program],
      {
        env: { PATH: process.env['PATH'], ANTHROPIC_API_KEY: CANARY },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    await once(engine, 'spawn');
    return engine;
  }

  async function outputOf(child: ChildProcess): Promise<string> {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await once(child, 'close');
    return text;
  }

  test('its secrets are nowhere to be seen', async () => {
    const look =
      "env; cat /proc/*/environ /proc/*/cmdline 2> /dev/null | tr '\\0' '\\n' | grep -a 'canary-7f3a' ; echo end";
    expect(await outputOf(await startEngine('off', look))).toContain(CANARY);
    const output = await outputOf(await startEngine('bubblewrap', look));
    expect(output).toContain('end');
    expect(output).not.toContain(CANARY);
  });

  test('killed, it takes its tools along', async () => {
    const marker = createMarker();
    const child = await startEngine('bubblewrap', `setsid ${marker} & ${marker}`);
    await until('the command runs', () => findProcesses(marker).length === 2);
    child.kill('SIGKILL');
    await until('the command is dead', () => findProcesses(marker).length === 0);
  });

  test('frozen, its tools kill themselves', async () => {
    const marker = createMarker();
    const child = await startEngine('bubblewrap', `setsid ${marker} & ${marker}`);
    await until('the command runs', () => findProcesses(marker).length === 2);
    child.kill('SIGSTOP');
    await until('the command is dead', () => findProcesses(marker).length === 0);
  });
});

test('a project folder that only its owner may enter works', async () => {
  const projectPath = createFolder();
  chmodSync(projectPath, 0o700);
  expect((await run('touch file && ls', { projectPath })).content).toBe('file\n');
});
