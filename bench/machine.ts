import { execFileSync } from 'node:child_process';
import { closeSync, fdatasyncSync, openSync, readFileSync, realpathSync, rmSync, writeSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { VERSION } from '@anthropic-ai/sdk/version';
import { quantile } from './numbers.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  /** Where the data lies. */
  readonly disk: {
    readonly device: string;
    readonly fileSystem: string;
    /** Median of writing 4 KiB and having them synced. */
    readonly syncMs: number;
  };
}

/** @param folder of the data; it exists */
export function describeMachine(folder: string): Machine {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? 'unknown',
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    disk: { ...mountOf(folder), syncMs: measureSync(folder) },
  };
}

/** Throws for a file system in memory: a sync costs nothing there, so the figures would be too good. */
function mountOf(folder: string): { device: string; fileSystem: string } {
  const path = realpathSync(folder);
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, point = '']) => path === point || path.startsWith(point === '/' ? '/' : `${point}/`))
    .toSorted(([, a = ''], [, b = '']) => a.length - b.length);
  const [device = 'unknown', , fileSystem = 'unknown'] = mounts.at(-1) ?? [];
  if (fileSystem === 'tmpfs' || fileSystem === 'ramfs')
    throw new Error(`${path} is in memory (${fileSystem}): name a folder on a disk with --data`);
  return { device, fileSystem };
}

function measureSync(folder: string): number {
  const path = join(folder, 'sync-probe');
  const file = openSync(path, 'w');
  const block = Buffer.alloc(4096, 1);
  const times = Array.from({ length: 200 }, () => {
    const startMs = performance.now();
    writeSync(file, block);
    fdatasyncSync(file);
    return performance.now() - startMs;
  });
  closeSync(file);
  rmSync(path);
  return quantile(times, 0.5);
}

export interface Versions {
  readonly node: string;
  readonly sdk: string;
  /** The commit, with a mark where files differ from it. */
  readonly agentx: string;
}

export function describeVersions(): Versions {
  const git = (...args: string[]) =>
    execFileSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
  const changed = git('status', '--porcelain', '--', '..', ':!../bench') === '' ? '' : ' with changes';
  return {
    node: process.version,
    sdk: VERSION,
    agentx: `${git('rev-parse', '--short=12', 'HEAD')}${changed}`,
  };
}
