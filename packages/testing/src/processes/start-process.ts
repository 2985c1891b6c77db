import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { endFamily } from './end-family.ts';
import { guardProcess } from './guard.ts';
import { collectOutput } from './output.ts';
import type { Output } from './output.ts';
import { processFamily } from './process-family.ts';
import { waitFor } from './wait-for.ts';

/** How a process shows that it is ready: a line on either of its outputs, or a probe that comes to give true. */
export type Ready = RegExp | ((line: string) => boolean) | { probe: () => Promise<boolean> };

export interface ProcessOptions {
  /** What errors call it: 'session-store'. */
  name: string;
  command: string;
  args?: readonly string[];
  /** The whole environment, not an addition to it; by default this process's own. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Without it the process counts as ready once it is started. */
  ready?: Ready;
  /** 15 s by default. */
  readyTimeoutMs?: number;
  /** What `stop()` sends first; SIGTERM by default. */
  stopSignal?: NodeJS.Signals;
  /** How long `stop()` waits before it kills; 5 s by default. */
  stopTimeoutMs?: number;
  /** What the process gets when this process ends without stopping it; SIGKILL by default. */
  lastSignal?: NodeJS.Signals;
  /** Runs it as another user (this process must be root). */
  user?: { uid: number; gid: number } | undefined;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RunningProcess extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** The lines written so far; grows. Only the newest 20,000 are sure to be kept. */
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** Settles when the process has ended, by itself or not. Never rejects. */
  readonly exited: Promise<Exit>;
  /** Signals the process alone, not what it started. Nothing happens when it has ended. */
  kill(signal: NodeJS.Signals): void;
  /**
   * The first line, on either output, so far or to come, that matches. Throws when the process ends first or after
   * `timeoutMs` (10 s by default).
   */
  waitForLine(pattern: RegExp, timeoutMs?: number): Promise<string>;
  /** Ends the process and all it started: politely first, by SIGKILL after `stopTimeoutMs`. May be called twice. */
  stop(): Promise<Exit>;
}

// The command does not start before the guardian knows of it: not even a SIGKILL between the two leaves it behind.
const startWhenGuarded = 'read -r go || exit 1; exec "$@" </dev/null';
const tailLines = 40;
const outputGraceMs = 250;

/**
 * Starts a program and waits until it is ready. Throws with the program's last 40 lines when it ends before that or
 * takes longer than `readyTimeoutMs`. It never outlives this process, even if this process is killed.
 */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const running = await spawnGuarded(options);
  try {
    await untilReady(running, options);
  } catch (error) {
    await running.stop();
    throw error;
  }
  return running;
}

async function spawnGuarded(options: ProcessOptions): Promise<RunningProcess & { output: Output }> {
  const { name, stopSignal = 'SIGTERM', stopTimeoutMs = 5_000, lastSignal = 'SIGKILL' } = options;
  const { child, pid } = await spawnChild(options);
  const release = guardProcess(pid, lastSignal);
  const output = collectOutput(child.stdout, child.stderr);
  // From then on the pid may be given to a process that is none of ours.
  let allEnded = false;
  const exited = exitOf(child).then((exit) => {
    // Something that it started may still run: that stays guarded until stop().
    if (processFamily(pid).length === 0) letGo();
    return exit;
  });
  const letGo = () => {
    allEnded = true;
    release();
  };
  // It may have ended before it reads the go-ahead; `exited` tells.
  child.stdin.on('error', () => undefined);
  child.stdin.end('\n');

  const stop = async () => {
    if (!allEnded) await endFamily(pid, stopSignal, stopTimeoutMs);
    const exit = await exited;
    letGo();
    return exit;
  };
  return {
    name,
    pid,
    output,
    stdout: output.stdout,
    stderr: output.stderr,
    exited,
    kill(signal) {
      child.kill(signal);
    },
    waitForLine(pattern, timeoutMs = 10_000) {
      const matches = (line: string) => line.search(pattern) >= 0;
      return untilLine({ name, output, exited }, matches, timeoutMs, `wrote a line like ${String(pattern)}`);
    },
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
    },
  };
}

async function spawnChild({ name, command, args = [], env = process.env, cwd, user }: ProcessOptions) {
  const child = spawn('/bin/sh', ['-c', startWhenGuarded, name, command, ...args], {
    // Its own process group, so that all it starts can be ended with it.
    detached: true,
    env,
    ...(cwd === undefined ? {} : { cwd }),
    ...user,
  });
  if (child.pid !== undefined) return { child, pid: child.pid };
  const error = await new Promise<Error>((resolve) => child.once('error', resolve));
  throw new Error(`${name} cannot be started in ${cwd ?? process.cwd()}: ${error.message}`, { cause: error });
}

/** Settles once its last lines have come too, unless something that it started holds its outputs open. */
async function exitOf(child: ChildProcess): Promise<Exit> {
  const outputEnded = new Promise((resolve) => child.once('close', resolve));
  const exit = await new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  await Promise.race([outputEnded, sleep(outputGraceMs)]);
  return exit;
}

interface Source {
  name: string;
  output: Output;
  exited: Promise<Exit>;
}

async function untilReady(source: Source, { ready, readyTimeoutMs = 15_000 }: ProcessOptions): Promise<void> {
  if (ready === undefined) return;
  if (ready instanceof RegExp) {
    await untilLine(source, (line) => line.search(ready) >= 0, readyTimeoutMs, 'was ready');
  } else if (typeof ready === 'function') {
    await untilLine(source, ready, readyTimeoutMs, 'was ready');
  } else {
    await untilProbe(source, ready.probe, readyTimeoutMs);
  }
}

async function untilLine(
  source: Source,
  matches: (line: string) => boolean,
  timeoutMs: number,
  what: string,
): Promise<string> {
  const found = Promise.withResolvers<string>();
  const timer = setTimeout(() => {
    found.reject(failure(source, `had ${timeoutMs} ms, and still nothing shows that it ${what}`));
  }, timeoutMs);
  const unfollow = source.output.follow((line) => {
    if (matches(line)) found.resolve(line);
  });
  try {
    return await Promise.race([found.promise, failOnExit(source, what)]);
  } finally {
    unfollow();
    clearTimeout(timer);
  }
}

async function untilProbe(source: Source, probe: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const what = `${source.name} to be ready`;
  const over = new AbortController();
  try {
    const ready = waitFor(probe, { what, timeoutMs, signal: over.signal }).catch((error: unknown) => {
      throw failure(source, error instanceof Error ? error.message : String(error));
    });
    await Promise.race([ready, failOnExit(source, 'was ready')]);
  } finally {
    over.abort();
  }
}

async function failOnExit(source: Source, what: string): Promise<never> {
  const { code, signal } = await source.exited;
  throw failure(source, `ended (${signal ?? `exit code ${code}`}) before it ${what}`);
}

function failure({ name, output }: Source, what: string): Error {
  return new Error(`${name} ${what}. Its last lines:\n${output.tail(tailLines)}`);
}
