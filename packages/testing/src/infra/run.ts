import { execFile } from 'node:child_process';
import type { ExecFileException } from 'node:child_process';

export interface RunOptions {
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  /** Written to the command's standard input, which is then closed. */
  input?: string;
  /** Returns what it wrote to its standard error too. */
  withStderr?: boolean;
  uid?: number;
  gid?: number;
}

/**
 * Runs a command to its end and returns what it wrote to its standard output.
 * Throws with the command's last lines when it fails.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { input = '', withStderr = false, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { ...spawnOptions, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error === null) resolve(withStderr ? stdout + stderr : stdout);
        else reject(new Error(failure(command, args, error, stdout + stderr), { cause: error }));
      },
    );
    // A command may end without reading its input; its exit code says whether that matters.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

function failure(command: string, args: readonly string[], error: ExecFileException, output: string): string {
  const how = error.code === undefined || error.code === null ? error.message : String(error.code);
  const lastLines = output.trimEnd().split('\n').slice(-40).join('\n');
  return `"${[command, ...args].join(' ')}" failed (${how}):\n${lastLines}`;
}
