import { join } from 'node:path';
import type { FoundPart } from './parts.ts';
import { findOnPath, infraFolder, isExecutable } from './paths.ts';
import { run } from './run.ts';

/** The oldest Go that builds what is installed with it and what the tests build. */
const oldest = { major: 1, minor: 26 };

/** Where a toolchain of our own is kept. */
export const ownGoFolder = join(infraFolder, 'go');

/** The first Go that is new enough: on the PATH, at its usual place, or our own. */
export async function findGoToolchain(): Promise<FoundPart | undefined> {
  const own = join(ownGoFolder, 'bin', 'go');
  for (const path of [await findOnPath('go'), '/usr/local/go/bin/go', own]) {
    if (path === undefined || !(await isExecutable(path))) continue;
    const [version, major, minor] = /(\d+)\.(\d+)[.\d]*/.exec(await run(path, ['version'])) ?? [];
    if (version !== undefined && Number(major) === oldest.major && Number(minor) >= oldest.minor)
      return { path, version };
  }
  return undefined;
}
