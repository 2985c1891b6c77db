import { existsSync } from 'node:fs';
import { mkdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { findOnPath } from '../../packages/testing/src/infra/paths.ts';
import { run } from '../../packages/testing/src/infra/run.ts';

// Packages of servers start them when they are installed, postgresql on port 5432 with a cluster of its own. These two
// files, present while apt runs, keep them from it.
const installOnly: { path: string; content: string; mode: number }[] = [
  { path: '/usr/sbin/policy-rc.d', content: '#!/bin/sh\nexit 101\n', mode: 0o755 },
  {
    path: '/etc/postgresql-common/createcluster.d/agentx-tests.conf',
    content: 'create_main_cluster = false\n',
    mode: 0o644,
  },
];

let updated: Promise<unknown> | undefined;

/** Installs Debian packages without starting what is in them. Throws where this process may not. */
export async function aptInstall(...packages: string[]): Promise<void> {
  if ((await findOnPath('apt-get')) === undefined) throw new Error('this machine has no apt');
  if (process.getuid?.() !== 0) throw new Error('apt needs root');
  updated ??= apt('update');
  await updated;
  const undo = await keepServersStopped();
  try {
    await apt('install', '--yes', '--no-install-recommends', ...packages);
  } finally {
    for (const step of undo.reverse()) await step();
  }
}

async function apt(...args: string[]): Promise<void> {
  const options = ['-qq', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Dpkg::Options::=--force-confold'];
  await run('apt-get', [...options, ...args], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
}

/** Writes the files where there are none, and returns how to take away what was written. */
async function keepServersStopped(): Promise<(() => Promise<void>)[]> {
  const undo: (() => Promise<void>)[] = [];
  for (const { path, content, mode } of installOnly) {
    if (existsSync(path)) continue;
    const firstMade = await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content, { mode });
    undo.push(async () => {
      await rm(path);
      if (firstMade !== undefined) await rmdir(dirname(path)).catch(ignoreNotEmpty);
    });
  }
  return undo;
}

function ignoreNotEmpty(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
}
