import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';

import { watchLimits } from './limits.ts';
import type { SandboxLimits } from './limits.ts';
import type { SandboxRequest } from './sandbox.ts';

/** How a process came to its end. */
export interface SandboxEnd {
  /** False if the sandbox itself could not be set up; the output says why. */
  started: boolean;
  /** 128 + the signal's number if a signal ended it. */
  exitCode: number;
  /** Absolute path as the process saw it; undefined if it never started. */
  workingDirectory: string | undefined;
  /** What killed it besides the caller: a limit, or an engine that fell silent. */
  killedFor: 'memory' | 'processes' | 'silence' | undefined;
}

export interface SandboxProcess {
  /** Standard output and standard error, in the order they were written. Must be read. */
  readonly output: Readable;
  /**
   * Resolves when the process has been reaped and its output read to the end; under bubblewrap nothing that it
   * started lives then. Rejects if no process could be created.
   */
  readonly ended: Promise<SandboxEnd>;
  /** Kills it and everything it started, at any time. Returns false if it has already ended. */
  kill(): boolean;
}

/** A PID namespace to be killed through its first process and watched, or a process group. */
export type Confinement = { kind: 'namespace'; limits: SandboxLimits } | { kind: 'group' };

/** Connects a freshly spawned supervisor (shell/supervise.sh lists its file descriptors) with the engine. */
export function superviseProcess(
  child: ChildProcess,
  request: SandboxRequest,
  confinement: Confinement,
): SandboxProcess {
  const pipes = child.stdio as readonly unknown[];
  const [, output, , reports] = pipes as Readable[] as [unknown, Readable, unknown, Readable];
  const [heartbeats, information, commands] = pipes.slice(4) as [Writable, Readable | null, Writable];
  let firstProcess: number | undefined;
  let killed = false;
  let killedFor: SandboxEnd['killedFor'];
  let workingDirectory: string | undefined;
  let stopWatching: (() => void) | undefined;

  function kill(): boolean {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return false;
    killed = true;
    if (confinement.kind === 'group') sendKill(-child.pid);
    // Before bubblewrap has named the namespace's first process, there is nothing that could be killed as a whole.
    else if (firstProcess !== undefined) sendKill(firstProcess);
    return true;
  }

  /** The sandbox stands and is known: before both, the watcher would look at the host's own processes. */
  function watch(): void {
    if (confinement.kind !== 'namespace' || firstProcess === undefined || workingDirectory === undefined)
      return;
    stopWatching ??= watchLimits(firstProcess, confinement.limits, (limit) => {
      killedFor = limit;
      kill();
    });
  }

  readReports(reports, (report) => {
    if (report.startsWith('/')) workingDirectory = report;
    else if (report === '!silent') killedFor = 'silence';
    watch();
  });
  if (information !== null) {
    readFirstProcess(information, (pid) => {
      firstProcess = pid;
      if (killed) kill();
      watch();
    });
  }
  // The process may end before it has read what we write: no failure of ours.
  for (const pipe of [heartbeats, commands]) pipe.on('error', () => undefined);
  commands.end(request.command);
  const stopBeating = request.heartbeat?.onBeat(() => void heartbeats.write('\n'));

  async function end(): Promise<SandboxEnd> {
    try {
      const outputRead = Promise.all([output, reports].map((pipe) => finished(pipe, { writable: false })));
      // Not read to the end where no process came to be, or one that left its group keeps the pipes open.
      outputRead.catch(() => undefined);
      const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
      if (confinement.kind === 'group' && child.pid !== undefined) await endGroup(child.pid);
      if (confinement.kind === 'group')
        await Promise.race([outputRead, delay(1000, undefined, { ref: false })]);
      else await outputRead;
      return {
        started: workingDirectory !== undefined,
        exitCode: exitCodeOf(code, signal),
        workingDirectory,
        killedFor,
      };
    } finally {
      stopWatching?.();
      stopBeating?.();
      for (const pipe of child.stdio) pipe?.destroy();
    }
  }

  return { output, ended: end(), kill };
}

/** The longest path Linux takes. */
const MAX_REPORT_BYTES = 4096;

/** Reports end with NUL. The command could write to this pipe too, so what it can make us keep is bounded. */
function readReports(pipe: Readable, onReport: (report: string) => void): void {
  let pending = Buffer.alloc(0);
  pipe.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (let end = pending.indexOf(0); end >= 0; end = pending.indexOf(0)) {
      if (end <= MAX_REPORT_BYTES) onReport(pending.toString('utf8', 0, end));
      pending = pending.subarray(end + 1);
    }
    if (pending.length > MAX_REPORT_BYTES) pending = Buffer.alloc(0);
  });
}

/** bubblewrap writes one JSON object: `{"child-pid": 123, …}`. */
function readFirstProcess(pipe: Readable, onPid: (pid: number) => void): void {
  let text = '';
  pipe.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    const pid = /"child-pid": (\d+)\b.*\}/s.exec(text)?.[1];
    if (pid === undefined) return;
    pipe.removeAllListeners('data').resume();
    onPid(Number(pid));
  });
}

function sendKill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // Already gone: what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Kills what is left of a group whose leader has ended, and waits (at most 200 ms: nobody may reap its zombies) until it is gone. */
async function endGroup(leader: number): Promise<void> {
  for (let tries = 0; tries < 20; tries++) {
    try {
      process.kill(-leader, 'SIGKILL');
    } catch {
      return;
    }
    await delay(10);
  }
}

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
