import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guardFolder } from './guard.ts';

export interface TemporaryFolder extends AsyncDisposable {
  /** Absolute, without symlinks. */
  readonly path: string;
  remove(): Promise<void>;
}

/** A new empty folder that only this user can enter. It is removed at the latest when this process ends. */
export async function temporaryFolder(prefix = 'agentx-'): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(await realpath(tmpdir()), prefix));
  const release = guardFolder(path);
  const remove = async () => {
    await rm(path, { recursive: true, force: true, maxRetries: 5 });
    release();
  };
  return { path, remove, [Symbol.asyncDispose]: remove };
}
