import { afterEach, describe, expect, test } from '@jest/globals';
import { isRunning } from './process-family.ts';
import { startProcess } from './start-process.ts';
import type { ProcessOptions, RunningProcess } from './start-process.ts';
import { waitFor } from './wait-for.ts';

const started: RunningProcess[] = [];

afterEach(async () => {
  await Promise.all(started.splice(0).map((running) => running.stop()));
});

async function startShell(script: string, options: Partial<ProcessOptions> = {}): Promise<RunningProcess> {
  const running = await startProcess({
    name: 'greeter',
    command: '/bin/sh',
    args: ['-c', script],
    ...options,
  });
  started.push(running);
  return running;
}

describe('ready', () => {
  test('by a line on either output that matches', async () => {
    const onStdout = await startShell('echo starting; echo "listening on 1"; exec sleep 60', {
      ready: /listening/,
    });
    expect(onStdout.stdout).toEqual(['starting', 'listening on 1']);
    const onStderr = await startShell('echo "listening on 2" >&2; exec sleep 60', { ready: /listening/ });
    expect(onStderr.stderr).toEqual(['listening on 2']);
  });

  test('by a function of a line', async () => {
    const ready = (line: string) => line.startsWith('{') && (JSON.parse(line) as { ready: boolean }).ready;
    const running = await startShell(`echo hello; echo '{"ready":true}'; exec sleep 60`, { ready });
    expect(running.stdout).toHaveLength(2);
  });

  test('by a probe', async () => {
    let looks = 0;
    await startShell('exec sleep 60', { ready: { probe: async () => ++looks === 3 } });
    expect(looks).toBe(3);
  });

  test('fails with the exit code and the last 40 lines when it ends before', async () => {
    const script = 'i=1; while [ $i -le 50 ]; do echo "line $i" >&2; i=$((i+1)); done; exit 3';
    const error: unknown = await startShell(script, { ready: /never/ }).catch((reason: unknown) => reason);
    const lines = (error as Error).message.split('\n');
    expect(lines[0]).toBe('greeter ended (exit code 3) before it was ready. Its last lines:');
    expect(lines.slice(1)).toEqual(Array.from({ length: 40 }, (_, index) => `line ${index + 11}`));
  });

  test('fails when it ends while a probe waits', async () => {
    const ready = { probe: async () => false };
    await expect(startShell('echo no database; exit 1', { ready })).rejects.toThrow(
      'greeter ended (exit code 1) before it was ready. Its last lines:\nno database',
    );
  });

  test('fails after its time, and leaves nothing behind', async () => {
    let pid = 0;
    const ready = (line: string) => {
      pid = Number(line);
      return false;
    };
    await expect(startShell('echo $$; exec sleep 60', { ready, readyTimeoutMs: 200 })).rejects.toThrow(
      /greeter had 200 ms, and still nothing shows that it was ready. Its last lines:\n\d+/,
    );
    expect(pid).toBeGreaterThan(0);
    expect(isRunning(pid)).toBe(false);
  });

  test('fails for a command and for a folder that do not exist', async () => {
    await expect(startProcess({ name: 'x', command: 'no-such-command', ready: /ready/ })).rejects.toThrow(
      /x ended \(exit code 127\) before it was ready.*\n.*no-such-command/,
    );
    await expect(startShell('true', { cwd: '/no/such/folder' })).rejects.toThrow(
      'greeter cannot be started in /no/such/folder',
    );
  });
});

test('passes arguments, environment and working folder on as they are', async () => {
  const args = ['-c', 'echo "$0" "$1"; pwd; echo "$COLOUR$HOME"', 'a b', `it's "c" $d`];
  const running = await startProcess({
    name: 'echo',
    command: '/bin/sh',
    args,
    cwd: '/usr',
    env: { COLOUR: 'red' },
  });
  expect(await running.exited).toEqual({ code: 0, signal: null });
  expect(running.stdout).toEqual([`a b it's "c" $d`, '/usr', 'red']);
});

describe('waitForLine', () => {
  test('gives a line that came already, or one to come', async () => {
    const running = await startShell('trap "echo two" USR1; echo one; while :; do sleep 0.05; done', {
      ready: /one/,
    });
    expect(await running.waitForLine(/^o/)).toBe('one');
    const two = running.waitForLine(/two/);
    running.kill('SIGUSR1');
    expect(await two).toBe('two');
  });

  test('fails after its time and when the process ends', async () => {
    const running = await startShell('echo one; exec sleep 60');
    await expect(running.waitForLine(/two/, 50)).rejects.toThrow('greeter had 50 ms');
    const waiting = expect(running.waitForLine(/two/)).rejects.toThrow(
      'greeter ended (SIGKILL) before it wrote',
    );
    running.kill('SIGKILL');
    await waiting;
  });
});

describe('stop', () => {
  test('lets the process end in its own way', async () => {
    const script = 'trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.05; done';
    const running = await startShell(script, { ready: /up/ });
    expect(await running.stop()).toEqual({ code: 7, signal: null });
    expect(running.stdout).toEqual(['up', 'bye']);
    expect(await running.stop()).toEqual({ code: 7, signal: null });
  });

  test('kills a process that ignores the signal, and one that is stopped', async () => {
    const script = 'trap "" TERM; echo up; while :; do sleep 0.05; done';
    const stubborn = await startShell(script, { ready: /up/, stopTimeoutMs: 100 });
    expect(await stubborn.stop()).toEqual({ code: null, signal: 'SIGKILL' });
    const frozen = await startShell('exec sleep 60');
    frozen.kill('SIGSTOP');
    expect(await frozen.stop()).toEqual({ code: null, signal: 'SIGTERM' });
  });

  test('ends what the process started, also after the process itself was killed', async () => {
    const script = 'sleep 60 & echo $!; wait';
    const polite = await startShell(script, { ready: /\d/ });
    await polite.stop();
    expect(isRunning(Number(polite.stdout[0]))).toBe(false);

    const killed = await startShell(script, { ready: /\d/ });
    const child = Number(killed.stdout[0]);
    killed.kill('SIGKILL');
    expect(await killed.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(isRunning(child)).toBe(true);
    await killed.stop();
    await waitFor(() => !isRunning(child), { what: 'the child to end' });
  });
});
