import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { findGoToolchain } from './go.ts';
import { findOnPath, infraFolder, isExecutable, repositoryRoot } from './paths.ts';
import { findPostgres } from './postgres.ts';
import { run } from './run.ts';

/** What tests need beyond npm packages; `scripts/infra/install.ts` puts each in place. */
export const partNames = [
  'postgres',
  'grpcurl',
  'bubblewrap',
  'python',
  'curl',
  'openssl',
  'go',
  'envoy',
] as const;
export type PartName = (typeof partNames)[number];

export interface FoundPart {
  /**
   * The program; for postgres the folder of its programs; for python the interpreter of the tests' venv; for go the
   * toolchain, with `protoc-gen-go` and `protoc-gen-go-grpc` in `goPlugins`.
   */
  path: string;
  version: string;
}

export const grpcurlVersion = '1.9.3';
export const envoyVersion = '1.40.0';
/** The folder of the protoc plugins that are installed with the part `go`. */
export const goPlugins = join(infraFolder, 'bin');
export const protocGenGoVersion = '1.36.12';
export const protocGenGoGrpcVersion = '1.6.2';
export const pythonVenv = join(infraFolder, 'venv');
/** The packages of the tests' venv, pinned. */
export const pythonRequirements = join(repositoryRoot, 'scripts/infra/python-requirements.txt');
/** A copy of the requirements, written once all of them are installed: an older or half-made venv does not count. */
export const pythonInstalled = join(pythonVenv, 'installed-requirements.txt');

const finders: Record<PartName, () => Promise<FoundPart | undefined>> = {
  postgres: findPostgres,
  grpcurl: findGrpcurl,
  bubblewrap: () => findProgram('bwrap'),
  python: findPython,
  curl: () => findProgram('curl'),
  openssl: () => findProgram('openssl', ['version']),
  go: findGo,
  envoy: findEnvoy,
};

/** Where the part is, or undefined when this machine lacks it (or has another version than the one pinned). */
export async function findPart(name: PartName): Promise<FoundPart | undefined> {
  return finders[name]();
}

/** Where the part is. Throws an error that names the part and the command that puts it in place. */
export async function requirePart(name: PartName): Promise<FoundPart> {
  const found = await findPart(name);
  if (found === undefined) {
    throw new Error(
      `${name} is missing on this machine. Put it in place: npx node scripts/infra/install.ts ${name}`,
    );
  }
  return found;
}

/** The pinned grpcurl under `.infra/bin`, else one on the PATH. */
export async function findGrpcurl(): Promise<FoundPart | undefined> {
  const own = join(infraFolder, 'bin', 'grpcurl');
  if (await isExecutable(own)) {
    const version = await versionOf(own, ['-version']);
    if (version === grpcurlVersion) return { path: own, version };
  }
  return findProgram('grpcurl', ['-version']);
}

async function findPython(): Promise<FoundPart | undefined> {
  const path = join(pythonVenv, 'bin', 'python');
  // The interpreter that the venv links to may have been removed since: only a run tells.
  if (!(await isExecutable(path)) || !(await sameText(pythonRequirements, pythonInstalled))) return undefined;
  return { path, version: await versionOf(path) };
}

/** Go, once the pinned plugins are there too. */
async function findGo(): Promise<FoundPart | undefined> {
  const plugins = { 'protoc-gen-go': protocGenGoVersion, 'protoc-gen-go-grpc': protocGenGoGrpcVersion };
  for (const [name, version] of Object.entries(plugins)) {
    const path = join(goPlugins, name);
    if (!(await isExecutable(path)) || (await versionOf(path)) !== version) return undefined;
  }
  return findGoToolchain();
}

async function findEnvoy(): Promise<FoundPart | undefined> {
  const own = join(infraFolder, 'bin', 'envoy');
  if (!(await isExecutable(own))) return undefined;
  const version = /\/(\d+(?:\.\d+)+)\//.exec(await run(own, ['--version']))?.[1];
  return version === envoyVersion ? { path: own, version } : undefined;
}

async function findProgram(name: string, versionArgs = ['--version']): Promise<FoundPart | undefined> {
  const path = await findOnPath(name);
  return path === undefined ? undefined : { path, version: await versionOf(path, versionArgs) };
}

async function versionOf(path: string, args = ['--version']): Promise<string> {
  // grpcurl writes its version to the standard error.
  const output = await run(path, args, { withStderr: true });
  return /\d+(\.\d+)+/.exec(output)?.[0] ?? 'unknown version';
}

async function sameText(pathA: string, pathB: string): Promise<boolean> {
  try {
    return (await readFile(pathA, 'utf8')) === (await readFile(pathB, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
