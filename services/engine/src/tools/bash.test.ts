import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { createBashTool } from './bash.ts';
import type { BashOptions } from './bash.ts';
import { createSandbox } from './sandbox.ts';
import type { MissingSandbox, Sandbox } from './sandbox.ts';
import {
  createContext,
  createMarker,
  createTestSandbox,
  findProcesses,
  until,
  removeFolders,
} from './sandbox-harness.ts';
import type { ToolContext, ToolResult } from './tool.ts';
import { createToolbox } from './toolbox.ts';

afterAll(removeFolders);

let sandbox: Sandbox | MissingSandbox;
beforeAll(async () => {
  sandbox = await createTestSandbox();
});

function run(command: string, context: ToolContext, options: Partial<BashOptions> = {}): Promise<ToolResult> {
  return createBashTool({ sandbox, ...options }).run({ command }, context);
}

describe('result', () => {
  test('is the output of a command that succeeds', async () => {
    expect(await run('echo hello', createContext())).toEqual({
      content: 'hello\n',
      isError: false,
      outcome: 'OK',
      workingDirectory: '',
    });
  });

  test('states an exit code that is not 0', async () => {
    expect(await run('echo -n partly; exit 2', createContext())).toMatchObject({
      content: 'partly\nexit code 2',
      isError: true,
      outcome: 'ERROR',
    });
  });

  test.each([
    ['a comment at the end', 'echo ok # done', 'ok\n'],
    ['a backslash at the end', 'echo ok; echo \\', 'ok\n\\\n'],
    ['a here-document', 'cat <<EOF\none $((1+1))\nEOF', 'one 2\n'],
    ['a command longer than an argument may be', `: ${'x'.repeat(200_000)}\necho ok`, 'ok\n'],
    ['no arguments and no input', 'echo $#; cat', '0\n'],
    ['/dev/stdout and /dev/stderr', 'echo a > /dev/stdout; echo b > /dev/stderr', 'a\nb\n'],
    ['file descriptor 3 taken by the command', 'exec 3> file; echo x >&3; cat file', 'x\n'],
  ])('handles %s', async (_, command, content) => {
    expect(await run(command, createContext())).toMatchObject({ content, outcome: 'OK' });
  });

  test('names the line of an error as the command counts it', async () => {
    const { content } = await run('echo "open', createContext());
    expect(content).toMatch(/^bash: eval: line \d: unexpected EOF.*\nexit code 2$/);
    expect((await run('true\nnot-a-command', createContext())).content).toBe(
      'bash: line 2: not-a-command: command not found\nexit code 127',
    );
  });

  test('keeps head and tail of long output and says how much is left out', async () => {
    const context = createContext();
    const { content } = await run('seq 1 20000', context, { resultBytes: 1000 });
    expect(content).toMatch(/^1\n2\n3\n/);
    expect(content).toMatch(/\n19999\n20000\n$/);
    const leftOut = Number(/\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n/.exec(content)?.[1]);
    expect(leftOut).toBe(context.live.join('').length - 1000);
  });
});

describe('live output', () => {
  test('comes while the command runs, both streams in the order written', async () => {
    const context = createContext();
    const running = run('echo one; echo two >&2; until [ -e go ]; do sleep 0.01; done; echo three', context);
    await until('the first lines have come', () => context.live.join('') === 'one\ntwo\n');
    writeFileSync(join(context.projectPath, 'go'), '');
    expect((await running).content).toBe('one\ntwo\nthree\n');
    expect(context.live.join('')).toBe('one\ntwo\nthree\n');
  });

  test('never splits a character', async () => {
    const context = createContext();
    const running = run(
      "printf 'a\\xe2\\x82'; until [ -e go ]; do sleep 0.01; done; printf '\\xac'",
      context,
    );
    await until('the first byte has come', () => context.live.length > 0);
    writeFileSync(join(context.projectPath, 'go'), '');
    expect((await running).content).toBe('a€');
    expect(context.live).toEqual(['a', '€']);
  });
});

describe('working directory', () => {
  test.each([
    ['cd', 'cd sub', 'sub'],
    ['cd, then exit', 'cd sub; exit 3', 'sub'],
    ['cd, then set -e', 'cd sub; set -eu; false; cd ..', 'sub'],
    ['cd in a subshell', '(cd sub)', ''],
    ['cd and an exit trap of its own', 'trap "echo bye" EXIT; cd sub', 'sub'],
    ['cd through a link', 'ln -s sub link; cd link', 'sub'],
    ['exec, which keeps where it started', 'cd sub; exec true', ''],
    ['a syntax error', 'cd sub; echo "', ''],
  ])('after %s', async (_, command, workingDirectory) => {
    const context = createContext();
    mkdirSync(join(context.projectPath, 'sub'));
    expect((await run(command, context)).workingDirectory).toBe(workingDirectory);
  });

  test('is where the next call starts', async () => {
    const context = createContext();
    const { workingDirectory } = await run("mkdir -p 'a b/ü'; cd 'a b/ü'", context);
    expect(workingDirectory).toBe('a b/ü');
    expect((await run('pwd', { ...context, workingDirectory })).content).toBe('/project/a b/ü\n');
  });

  test('that is gone is said, and the top taken', async () => {
    const context = createContext({ workingDirectory: 'gone' });
    const { content, workingDirectory, outcome } = await run('pwd', context);
    expect(content).toBe(
      'The working directory /project/gone no longer exists; starting in /project.\n/project\n',
    );
    expect(context.live.join('')).toBe(content);
    expect({ workingDirectory, outcome }).toEqual({ workingDirectory: '', outcome: 'OK' });
  });

  test('outside the project does not carry over, and the result says so', async () => {
    const { content, workingDirectory } = await run('cd /tmp', createContext());
    expect(content).toMatch('/tmp is outside the project');
    expect(workingDirectory).toBe('');
  });

  test('restart goes back to the top', async () => {
    const tool = createBashTool({ sandbox });
    const context = createContext({ workingDirectory: 'sub' });
    expect(await tool.run({ restart: true }, context)).toMatchObject({ outcome: 'OK', workingDirectory: '' });
    expect((await tool.run({ restart: true, command: 'pwd' }, context)).content).toBe('/project\n');
  });
});

describe('ending', () => {
  /** Ignores signals, has left its session, and has children of its own. */
  const stubborn = (marker: string) =>
    `trap '' TERM INT HUP; setsid ${marker} & (${marker}) & ${marker}; echo survived`;

  test('what a command leaves behind dies with it', async () => {
    const marker = createMarker();
    const context = createContext();
    const running = run(`setsid ${marker} & until [ -e go ]; do sleep 0.01; done`, context);
    await until('the background process runs', () => findProcesses(marker).length === 1);
    writeFileSync(join(context.projectPath, 'go'), '');
    expect((await running).outcome).toBe('OK');
    expect(findProcesses(marker)).toEqual([]);
  });

  test('abort kills everything before the result says INTERRUPTED', async () => {
    const marker = createMarker();
    const controller = new AbortController();
    const context = createContext({ signal: controller.signal });
    const running = run(`echo begun; ${stubborn(marker)}`, context);
    await until('all of them run', () => findProcesses(marker).length === 3);
    controller.abort();
    const result = await running;
    expect(findProcesses(marker)).toEqual([]);
    expect(result).toMatchObject({ outcome: 'INTERRUPTED', isError: true });
    expect(result.content).toMatch(/^begun\nInterrupted: /);
  });

  test('abort while the sandbox is still being set up', async () => {
    const controller = new AbortController();
    const context = createContext({ signal: controller.signal });
    const running = run('until [ -e go ]; do sleep 0.01; done', context);
    controller.abort();
    expect((await running).outcome).toBe('INTERRUPTED');
  });

  test('a call that is aborted already runs nothing', async () => {
    const context = createContext({ signal: AbortSignal.abort() });
    expect((await run('touch ran', context)).outcome).toBe('INTERRUPTED');
    expect(existsSync(join(context.projectPath, 'ran'))).toBe(false);
  });

  test('the time limit kills everything and says so', async () => {
    const marker = createMarker();
    const result = await run(stubborn(marker), createContext(), { timeoutMs: 500 });
    expect(findProcesses(marker)).toEqual([]);
    expect(result).toMatchObject({ outcome: 'ERROR', content: 'Killed: it ran longer than 0.5 s.' });
  });

  test('a command that writes without end is killed, and little of it is kept', async () => {
    const context = createContext();
    const result = await run('yes', context, { outputBytes: 1_000_000, resultBytes: 1000 });
    expect(result.outcome).toBe('ERROR');
    expect(result.content).toMatch(/\nKilled: it wrote more than 1000000 bytes\.$/);
    expect(result.content.length).toBeLessThan(1200);
    expect(context.live.join('').length).toBeLessThan(1_200_000);
  });

  test('without heartbeats it kills itself', async () => {
    const marker = createMarker();
    const heartbeat = { maxSilenceMs: 1000, onBeat: () => () => undefined };
    const result = await run(stubborn(marker), createContext({ heartbeat }));
    expect(findProcesses(marker)).toEqual([]);
    expect(result).toMatchObject({ outcome: 'INTERRUPTED' });
  });

  test('with heartbeats it lives on, and the listener is removed at its end', async () => {
    let listeners = 0;
    const heartbeat = {
      maxSilenceMs: 1000,
      onBeat(listener: () => void) {
        listeners++;
        const timer = setInterval(listener, 100);
        return () => {
          listeners--;
          clearInterval(timer);
        };
      },
    };
    const result = await run('sleep 1.8; echo alive', createContext({ heartbeat }));
    expect(result.content).toBe('alive\n');
    expect(listeners).toBe(0);
  });
});

describe('refusals', () => {
  test('without a sandbox nothing runs, and the result says how to get one', async () => {
    const missing = createSandbox({
      mode: 'bubblewrap',
      bubblewrap: { found: false, reason: 'Run this to get it.' },
    });
    const context = createContext();
    const result = await run('touch ran', context, { sandbox: missing });
    expect(result).toMatchObject({ outcome: 'ERROR', isError: true });
    expect(result.content).toBe('bash is not available: Run this to get it.');
    expect(existsSync(join(context.projectPath, 'ran'))).toBe(false);
  });

  test('a sandbox that cannot be set up is an error with its reason', async () => {
    const context = createContext();
    rmSync(context.projectPath, { recursive: true });
    const result = await run('true', context);
    expect(result.outcome).toBe('ERROR');
    expect(result.content).toMatch(/bwrap: .*\nThe sandbox could not be set up\.$/);
  });

  test.each([
    ['[]', 'must be an object'],
    ['{}', '"command" is missing'],
    ['{"command": 7}', '"command" must be a string'],
    ['{"command": "a\\u0000b"}', 'NUL'],
    ['{"restart": "yes"}', '"restart" must be true or false'],
    ['{"command": "ls', 'not valid JSON'],
  ])('arguments %s', async (inputJson, reason) => {
    const toolbox = createToolbox([createBashTool({ sandbox })]);
    const result = await toolbox.run({ toolCallId: 't1', name: 'bash', inputJson }, createContext());
    expect(result).toMatchObject({ outcome: 'ERROR', isError: true });
    expect(result.content).toMatch(reason);
  });
});

describe('sandbox switched off', () => {
  const off = () => ({ sandbox: createSandbox({ mode: 'off' }) });

  test('runs in the project folder itself and carries the directory over', async () => {
    const context = createContext();
    const { content, workingDirectory } = await run('pwd; mkdir sub; cd sub', context, off());
    expect(content).toBe(`${context.projectPath}\n`);
    expect(workingDirectory).toBe('sub');
  });

  test('kills the process group, and does not claim more', async () => {
    const marker = createMarker();
    const controller = new AbortController();
    const running = run(`${marker} & ${marker}`, createContext({ signal: controller.signal }), off());
    await until('both run', () => findProcesses(marker).length === 2);
    controller.abort();
    expect(await running).toMatchObject({ outcome: 'UNKNOWN', isError: true });
    expect(findProcesses(marker)).toEqual([]);
  });
});
