import { accessSync, constants, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { StartError } from '../lifecycle/start-error.ts';

/**
 * Makes a folder that the program writes, and the folders above it, for the owner only. Not by Node's `recursive`, which
 * never returns where a folder that exists answers that it does not, as /proc does.
 *
 * @param variable names where the folder comes from, for example `AGENTX_WORKSPACE_ROOT`
 * @throws StartError when it cannot be made or written.
 */
export function makeOwnFolder(folder: string, variable: string): void {
  try {
    makeFolder(resolve(folder));
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new StartError(
      `the folder ${folder} cannot be made or written (${code ?? String(error)}); ` +
        `set ${variable} to one that this user may write`,
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
