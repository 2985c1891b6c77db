import { runCommand } from '@agentx/testing';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const examples = fileURLToPath(new URL('../examples/', import.meta.url));
/** Not a dependency of the repository: the only thing that bundles here is this test. */
const ESBUILD = 'esbuild@0.28.2';

/** node run.mjs PROGRAM ARGUMENT... */
const runner = `
const [program, ...rest] = process.argv.slice(2);
const { run } = await import(program);
await run(...rest);
`;

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
}

/** Somebody's project that has the packed client and nothing of this repository. */
export interface Project {
  readonly folder: string;
  /** The Node that users have, and not the one that came with this repository. */
  readonly node: string;
  readonly install: (...packages: string[]) => Promise<void>;
  /** Runs a program of the project's `node_modules/.bin`; its output. Throws when it fails. */
  readonly tool: (name: string, ...args: string[]) => Promise<string>;
}

/** Packs the client, and installs it from the tarball, with TypeScript and a bundler, into a project in that folder. */
export async function createProject(folder: string): Promise<Project> {
  const { NODE_OPTIONS: _, ...environment } = process.env;
  const path = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((part) => !/[\\/]node_modules[\\/]/.test(part));
  const env = { ...environment, PATH: path.join(delimiter) };
  const run = async (command: string, args: string[], cwd: string) => {
    const { code, stdout, stderr } = await runCommand(command, args, { cwd, env, timeoutMs: 120_000 });
    if (code !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${stdout.toString()}${stderr}`);
    return stdout.toString();
  };
  const tarball = (
    await run(process.execPath, [join(root, 'packages/client/scripts/pack.ts'), folder], root)
  ).trim();

  const exact = await exactVersions();
  const install: Project['install'] = async (...packages) => {
    const pinned = packages.map((name) => (name in exact ? `${name}@${exact[name] ?? ''}` : name));
    const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--save-exact'];
    await run('npm', ['install', ...flags, ...pinned], folder);
  };
  const overrides = Object.fromEntries(
    ['@bufbuild/protobuf', '@connectrpc/connect', '@grpc/grpc-js'].map((name) => [name, exact[name]]),
  );
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true, overrides }));
  await install(tarball, 'typescript', '@types/node', ESBUILD);
  await mkdir(join(folder, 'src'));
  await writeFile(join(folder, 'run.mjs'), runner);
  return {
    folder,
    node: path.map((part) => join(part, 'node')).find(existsSync) ?? process.execPath,
    install,
    tool: (name, ...args) => run(join(folder, 'node_modules/.bin', name), args, folder),
  };
}

/** The versions that this repository is tested with, so that a run today is a run tomorrow. */
async function exactVersions(): Promise<Record<string, string>> {
  const read = async (file: string) => JSON.parse(await readFile(join(root, file), 'utf8')) as Manifest;
  const [client, workspace] = await Promise.all([read('packages/client/package.json'), read('package.json')]);
  return { ...workspace.devDependencies, ...client.devDependencies, ...client.dependencies };
}

/** The examples of the package's README that match, in their order. */
export async function readmeExamples(pattern: RegExp): Promise<string[]> {
  const readme = await readFile(join(root, 'packages/client/README.md'), 'utf8');
  const all = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, text]) => text ?? '');
  return all.filter((text) => pattern.test(text));
}

export const readExample = (name: string): Promise<string> => readFile(join(examples, name), 'utf8');
