import { spawn } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Flags with which jest loads ES modules, and Node stays quiet about it. */
export const jestCommand = [
  'node',
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  join('node_modules', 'jest', 'bin', 'jest.js'),
];

export interface StepResult {
  /** The exit code was 0. */
  ok: boolean;
  /** What the command wrote to stdout and stderr, in order; empty if it was streamed. */
  output: string;
  durationMs: number;
}

/**
 * Runs one command from the repository's root with `node_modules/.bin` first on the PATH.
 * `stream` passes its output on as it comes; otherwise it is collected.
 * A command that cannot be started is a failed step whose output says why.
 */
export async function runStep(command: readonly string[], stream = false): Promise<StepResult> {
  const [file = '', ...args] = command;
  const startedAt = performance.now();
  const child = spawn(file, args, {
    cwd: root,
    env: {
      ...process.env,
      PATH: [join(root, 'node_modules', '.bin'), process.env.PATH].join(delimiter),
      ...(stream || !process.stdout.isTTY ? {} : { FORCE_COLOR: '1' }),
    },
    stdio: stream ? 'inherit' : ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const readable of [child.stdout, child.stderr]) {
    readable?.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  }
  const ok = await new Promise<boolean>((resolve) => {
    child.on('error', (error) => {
      output += `${file} could not be started: ${error.message}\n`;
      if (stream) console.error(output);
      resolve(false);
    });
    child.on('close', (code) => resolve(code === 0));
  });
  return { ok, output, durationMs: performance.now() - startedAt };
}

/** `1.2 s`, for a duration in milliseconds. */
export function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}
