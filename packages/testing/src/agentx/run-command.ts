import { execFile } from 'node:child_process';
import type { ExecFileException } from 'node:child_process';

export interface CommandResult {
  /** 0 after success. */
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** Runs a command to its end, whatever that is; at most `timeoutMs` (30 s by default). Throws when it cannot be run. */
export function runCommand(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; timeoutMs?: number } = {},
): Promise<CommandResult> {
  const { timeoutMs = 30_000, ...spawnOptions } = options;
  return new Promise((resolve, reject) => {
    const settings = {
      ...spawnOptions,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      encoding: 'buffer',
      maxBuffer: 64 * 1024 * 1024,
    } as const;
    execFile(command, args, settings, (error: ExecFileException | null, stdout, stderr) => {
      if (error === null || typeof error.code === 'number')
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr: stderr.toString() });
      else reject(new Error(`${command}: ${error.message}`, { cause: error }));
    });
  });
}
