import { relative } from 'node:path';

import { createOutputCollector } from './output.ts';
import type { MissingSandbox, Sandbox } from './sandbox.ts';
import type { SandboxEnd } from './sandbox-process.ts';
import { InvalidToolInputError } from './tool.ts';
import type { Tool, ToolContext, ToolOutcome, ToolResult } from './tool.ts';

export interface BashOptions {
  sandbox: Sandbox | MissingSandbox;
  /** Default 10 minutes. */
  timeoutMs?: number;
  /** How much of the output the result holds at most. Default 100 kB. */
  resultBytes?: number;
  /** A command that writes more than this is killed. Default 64 MiB. */
  outputBytes?: number;
  /** How long a killed process may take to die before the result says that it is unknown. Default 10 s. */
  deathTimeoutMs?: number;
}

type StopReason = 'timeout' | 'output' | 'interrupt';

interface Cut {
  note: string;
  outcome: ToolOutcome;
}

const STILL_ALIVE: Cut = {
  note: 'The command was killed, but it has not ended yet: it may still take effect.',
  outcome: 'UNKNOWN',
};
const INTERRUPTED: Cut = {
  note: 'Interrupted: the command and everything it started were killed.',
  outcome: 'INTERRUPTED',
};
const INTERRUPTED_WITHOUT_SANDBOX: Cut = {
  note: 'Interrupted: the command was killed, but without a sandbox something it started may go on.',
  outcome: 'UNKNOWN',
};

const HINTS: Readonly<Record<number, string>> = {
  152: ' (the CPU time limit was reached)',
  153: ' (the file size limit was reached)',
};

const RESTARTED = 'The shell was restarted; the working directory is the top of the project.';

/**
 * Claude's bash tool (`bash_20250124`): each call is a process of its own in the agent's project folder. The working
 * directory carries over to the next call; variables, functions and background processes do not.
 */
export function createBashTool(options: BashOptions): Tool {
  const { sandbox, timeoutMs = 600_000, resultBytes = 100_000, outputBytes = 64 * 1024 * 1024 } = options;
  const deathTimeoutMs = options.deathTimeoutMs ?? 10_000;

  async function runCommand(sandbox: Sandbox, command: string, context: ToolContext): Promise<ToolResult> {
    const { projectPath, workingDirectory, signal, heartbeat } = context;
    const collector = createOutputCollector(resultBytes);
    const shell = sandbox.start({
      ...{ projectPath, workingDirectory, command, timeoutMs },
      ...(heartbeat && { heartbeat }),
    });

    let stopReason: StopReason | undefined;
    let deathTimer: NodeJS.Timeout | undefined;
    const tooLong = Promise.withResolvers<undefined>();
    function stop(reason: StopReason): void {
      if (stopReason !== undefined || !shell.kill()) return;
      stopReason = reason;
      deathTimer = setTimeout(() => tooLong.resolve(undefined), deathTimeoutMs);
    }

    function onData(chunk: Buffer): void {
      if (collector.totalBytes > outputBytes) return;
      const text = collector.add(chunk);
      if (text !== '') context.onOutput(text);
      if (collector.totalBytes > outputBytes) stop('output');
    }
    shell.output.on('data', onData);
    const timer = setTimeout(() => stop('timeout'), timeoutMs);
    const interrupt = () => stop('interrupt');
    signal.addEventListener('abort', interrupt, { once: true });
    try {
      const end = await Promise.race([shell.ended, tooLong.promise]);
      const rest = collector.end();
      if (rest !== '') context.onOutput(rest);
      return describe(collector.text(), end, stopReason, context);
    } finally {
      clearTimeout(timer);
      clearTimeout(deathTimer);
      signal.removeEventListener('abort', interrupt);
      // What comes later, from a process that would not die, has no reader any more but must not block it.
      shell.output.off('data', onData).resume();
    }
  }

  /** What the model reads: the output and, where there is something to say about its end, lines that say it. */
  function describe(
    output: string,
    end: SandboxEnd | undefined,
    stopReason: StopReason | undefined,
    context: ToolContext,
  ): ToolResult {
    const result = (notes: string[], outcome: ToolOutcome, workingDirectory: string): ToolResult => {
      const separator = output === '' || output.endsWith('\n') || notes.length === 0 ? '' : '\n';
      const content = `${output}${separator}${notes.join('\n')}`;
      return { content, isError: outcome !== 'OK', outcome, workingDirectory };
    };
    const cut = end === undefined ? STILL_ALIVE : cutShort(end, stopReason);
    if (cut !== undefined) return result([cut.note], cut.outcome, context.workingDirectory);

    const { exitCode = 0, workingDirectory = '' } = end ?? {};
    const next = projectRelative(workingDirectory, context);
    const notes = [];
    if (exitCode !== 0) notes.push(`exit code ${exitCode}${HINTS[exitCode] ?? ''}`);
    if (next === undefined) {
      notes.push(
        `${workingDirectory} is outside the project; the next call starts at the top of the project.`,
      );
    }
    return result(notes, exitCode === 0 ? 'OK' : 'ERROR', next ?? '');
  }

  /** Why a command did not come to its own end; undefined if it did. */
  function cutShort(end: SandboxEnd, stopReason: StopReason | undefined): Cut | undefined {
    const error = (note: string): Cut => ({ note, outcome: 'ERROR' });
    if (stopReason === 'interrupt')
      return sandbox.kind === 'bubblewrap' ? INTERRUPTED : INTERRUPTED_WITHOUT_SANDBOX;
    if (stopReason === 'timeout') return error(`Killed: it ran longer than ${timeoutMs / 1000} s.`);
    if (stopReason === 'output') return error(`Killed: it wrote more than ${outputBytes} bytes.`);
    if (end.killedFor === 'silence')
      return { note: 'Interrupted: the engine lost touch with it.', outcome: 'INTERRUPTED' };
    if (end.killedFor === 'memory') return error('Killed: its processes used more memory than they may.');
    if (end.killedFor === 'processes') return error('Killed: it ran more processes at once than it may.');
    return end.started ? undefined : error('The sandbox could not be set up.');
  }

  function projectRelative(directory: string, context: ToolContext): string | undefined {
    if (sandbox.kind === 'missing') return undefined;
    const path = relative(sandbox.projectMount(context.projectPath), directory);
    return path === '..' || path.startsWith('../') ? undefined : path;
  }

  return {
    definition: { kind: 'anthropic', type: 'bash_20250124', name: 'bash' },

    async run(input, context) {
      const { command, restart } = parseInput(input);
      if (context.signal.aborted) {
        return {
          content: 'Interrupted before it started.',
          ...failed('INTERRUPTED', context.workingDirectory),
        };
      }
      if (command === undefined)
        return { content: RESTARTED, isError: false, outcome: 'OK', workingDirectory: '' };
      if (sandbox.kind === 'missing') {
        return {
          content: `bash is not available: ${sandbox.reason}`,
          ...failed('ERROR', context.workingDirectory),
        };
      }
      try {
        return await runCommand(sandbox, command, restart ? { ...context, workingDirectory: '' } : context);
      } catch (error) {
        // No process, no pipes: the machine's fault, which the model may try to live with.
        const content = `The command could not be started: ${String(error)}`;
        return { content, ...failed('ERROR', context.workingDirectory) };
      }
    },
  };
}

function failed(outcome: ToolOutcome, workingDirectory: string): Omit<ToolResult, 'content'> {
  return { isError: true, outcome, workingDirectory };
}

function parseInput(input: unknown): { command: string | undefined; restart: boolean } {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new InvalidToolInputError('they must be an object, such as {"command": "ls"}.');
  }
  const { command, restart } = input as Record<string, unknown>;
  if (restart !== undefined && typeof restart !== 'boolean') {
    throw new InvalidToolInputError('"restart" must be true or false.');
  }
  if (command === undefined) {
    if (restart === true) return { command, restart };
    throw new InvalidToolInputError('"command" is missing. Send {"command": "…"}, or {"restart": true}.');
  }
  if (typeof command !== 'string') throw new InvalidToolInputError('"command" must be a string.');
  if (command.includes('\0')) throw new InvalidToolInputError('"command" must not contain NUL characters.');
  return { command, restart: restart === true };
}
