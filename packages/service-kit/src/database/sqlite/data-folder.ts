import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { StartError } from '../../lifecycle/start-error.ts';

/**
 * Makes the folder of the data and the folders above it, for the owner only. Not by Node's `recursive`, which never returns
 * where a folder that exists answers that it does not, as /proc does.
 *
 * @throws StartError when it cannot be made.
 */
export function makeDataFolder(folder: string): void {
  try {
    makeFolder(resolve(folder));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartError(
      `the data folder ${folder} cannot be made (${code ?? String(error)}); ` +
        'set AGENTX_DATABASE_URL to a folder that this user may write',
      { cause: error },
    );
  }
}

function makeFolder(path: string): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process that starts at the same moment may have made it.
    if (!isFolder(path)) throw error;
  }
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
