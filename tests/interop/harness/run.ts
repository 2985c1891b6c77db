import { execFile } from 'node:child_process';

export interface Ran {
  code: number;
  stdout: Buffer;
  stderr: string;
}

export interface RunOptions {
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  input?: Uint8Array;
  /** Kills the command after so long; 60 s by default. */
  timeoutMs?: number;
}

/** Runs a command to its end, whatever its exit code. Throws when it cannot be started or takes too long. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { input, timeoutMs = 60_000, ...rest } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(
      command,
      args,
      { ...rest, encoding: 'buffer', maxBuffer: 64 * 1024 * 1024, timeout: timeoutMs, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        if (error === null) resolve({ code: 0, stdout, stderr: stderr.toString() });
        else if (typeof error.code === 'number')
          resolve({ code: error.code, stdout, stderr: stderr.toString() });
        else
          reject(
            new Error(`${command} ${args.join(' ')} had no end: ${error.message}\n${stderr.toString()}`),
          );
      },
    );
    // A command may end without reading its input; its exit code says whether that matters.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** Runs a command that must succeed and returns what it wrote to its standard output. */
export async function runOk(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(command, args, options);
  if (code !== 0) {
    throw new Error(`${command} ${args.join(' ')} failed (${code}):\n${stdout.toString()}${stderr}`);
  }
  return stdout.toString();
}
