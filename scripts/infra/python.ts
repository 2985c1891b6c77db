import { join } from 'node:path';
import { findOnPath } from '../../packages/testing/src/infra/paths.ts';
import { run } from '../../packages/testing/src/infra/run.ts';
import { aptInstall } from './apt.ts';

/** Makes a new virtual environment in place of what is in the folder, with these packages (arguments of pip). */
export async function createVenv(folder: string, packages: string[]): Promise<void> {
  const python = await ensurePython();
  await run(python, ['-m', 'venv', '--clear', folder]);
  await run(join(folder, 'bin', 'python'), [
    '-m',
    'pip',
    'install',
    '--disable-pip-version-check',
    '--quiet',
    ...packages,
  ]);
}

async function ensurePython(): Promise<string> {
  const found = await findOnPath('python3');
  if (found !== undefined && (await canMakeVenvs(found))) return found;
  await aptInstall('python3', 'python3-venv');
  return '/usr/bin/python3';
}

/** Debian's python3 comes without what `python3 -m venv` needs. */
async function canMakeVenvs(python: string): Promise<boolean> {
  try {
    await run(python, ['-c', 'import ensurepip, venv']);
    return true;
  } catch {
    return false;
  }
}
