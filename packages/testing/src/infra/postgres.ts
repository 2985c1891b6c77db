import { readdir, realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FoundPart } from './parts.ts';
import { findOnPath, isExecutable } from './paths.ts';
import { run } from './run.ts';

/** The oldest PostgreSQL that the suites run on. */
const minimumMajor = 15;

const versionedFolders = ['/usr/lib/postgresql', '/usr/pgsql', '/opt/homebrew/opt', '/usr/local/opt'];

/**
 * The newest PostgreSQL server on this machine. `path` is the folder of its programs (`initdb`, `postgres`):
 * Debian does not put them on the PATH.
 */
export async function findPostgres(): Promise<FoundPart | undefined> {
  const found: FoundPart[] = [];
  for (const folder of await candidateFolders()) {
    if (!(await isExecutable(join(folder, 'postgres'))) || !(await isExecutable(join(folder, 'initdb'))))
      continue;
    const version = /\d+(\.\d+)+/.exec(await run(join(folder, 'postgres'), ['--version']))?.[0];
    if (version !== undefined && Number.parseInt(version) >= minimumMajor)
      found.push({ path: folder, version });
  }
  return found.sort((a, b) => Number.parseFloat(b.version) - Number.parseFloat(a.version))[0];
}

async function candidateFolders(): Promise<Set<string>> {
  const folders = new Set<string>();
  for (const parent of versionedFolders) {
    for (const name of await entriesOf(parent)) {
      if (/^(postgresql@)?\d+$/.test(name)) folders.add(join(parent, name, 'bin'));
    }
  }
  const onPath = await findOnPath('postgres');
  if (onPath !== undefined) folders.add(dirname(await realpath(onPath)));
  return folders;
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
