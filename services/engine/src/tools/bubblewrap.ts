import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { promisify } from 'node:util';

import { isolationArguments, sealArguments } from './bubblewrap-arguments.ts';

/** A bubblewrap that works here, or why there is none and how to get it. */
export type BubblewrapStatus =
  { found: true; path: string; version: string } | { found: false; reason: string };

export interface FindBubblewrapOptions {
  /** The data folder (`.agentx`), where `installBubblewrap` may have put it. */
  dataFolder: string;
  /** Path of the executable; if given, nothing else is tried. */
  path?: string;
}

/** Where `installBubblewrap` puts it inside the data folder. */
export const bubblewrapIn = (dataFolder: string): string => join(resolve(dataFolder), 'sandbox', 'bwrap');

const HOW_TO_GET =
  "Install bubblewrap 0.8 or newer with the system's package manager (Debian: `apt-get install bubblewrap`) and start again.";

/**
 * Looks for a bubblewrap (the given path, else PATH, else the data folder) and tries that it really makes a sandbox here.
 * Never throws.
 */
export async function findBubblewrap({ dataFolder, path }: FindBubblewrapOptions): Promise<BubblewrapStatus> {
  if (process.platform !== 'linux') {
    return { found: false, reason: `bubblewrap needs Linux, this is ${process.platform}.` };
  }
  const candidates =
    path !== undefined
      ? [path]
      : [
          ...(process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'bwrap')),
          bubblewrapIn(dataFolder),
        ];
  const reasons: string[] = [];
  for (const candidate of new Set(candidates.filter((name) => path !== undefined || existsSync(name)))) {
    const status = await probeBubblewrap(candidate);
    if (status.found) return status;
    reasons.push(status.reason);
  }
  if (reasons.length > 0) return { found: false, reason: reasons.join(' ') };
  return { found: false, reason: `bubblewrap (bwrap) is not installed. ${HOW_TO_GET}` };
}

/** Makes a real sandbox with all that tools get, and runs bash in it. */
export async function probeBubblewrap(path: string): Promise<BubblewrapStatus> {
  const run = promisify(execFile);
  const options = { timeout: 10_000, env: {} };
  try {
    const { stdout } = await run(path, ['--version'], options);
    await run(
      path,
      [...isolationArguments(1024 * 1024), ...sealArguments(), '--', '/bin/bash', '-c', ':'],
      options,
    );
    return { found: true, path, version: stdout.trim().replace(/^bubblewrap /, '') };
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string };
    const detail = (stderr?.trim() ?? '') || message;
    return { found: false, reason: `${path} does not work here: ${detail}. ${remedyFor(detail)}` };
  }
}

function remedyFor(detail: string): string {
  if (/ENOENT|EACCES/.test(detail)) return HOW_TO_GET;
  if (/Unknown option|execvp/i.test(detail)) return 'bubblewrap 0.8 or newer and /bin/bash are needed.';
  return (
    'Unprivileged user namespaces may be switched off: check the sysctls kernel.unprivileged_userns_clone (1), ' +
    'kernel.apparmor_restrict_unprivileged_userns (0) and user.max_user_namespaces (not 0); ' +
    'a container must also be allowed to create them and to mount /proc.'
  );
}
