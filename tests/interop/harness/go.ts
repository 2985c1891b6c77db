import { goPlugins, requirePart } from '@agentx/testing';
import { createHash } from 'node:crypto';
import { cp, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import type { ClientProgram } from './client-program.ts';
import { runOk } from './run.ts';
import { root } from './servers.ts';

const source = join(root, 'tests/interop/go');
const infra = join(root, '.infra');
const buildTimeoutMs = 300_000;

/** Generates stubs with buf and builds the program, once for one state of the sources. */
export async function buildGoClient(): Promise<ClientProgram> {
  const { path: go, version } = await requirePart('go');
  const folder = join(infra, 'interop-go', await stateOfSources(version));
  const program: ClientProgram = { name: 'go', command: join(folder, 'interop'), args: [] };
  if (await isFolder(folder)) return program;

  const building = `${folder}.${process.pid}`;
  await rm(join(infra, 'interop-go'), { recursive: true, force: true });
  await mkdir(building, { recursive: true });
  await cp(source, building, { recursive: true });
  const env = {
    ...process.env,
    PATH: [goPlugins, process.env['PATH']].join(delimiter),
    GOMODCACHE: join(infra, 'go-mod'),
    GOFLAGS: '-modcacherw',
    GOTOOLCHAIN: 'local',
  };
  const options = { env, timeoutMs: buildTimeoutMs };
  const buf = join(root, 'node_modules/.bin/buf');
  const generate = ['generate', '--path', 'proto/agentx', '--template', join(source, 'buf.gen.yaml')];
  await runOk(buf, [...generate, '-o', building], { ...options, cwd: root });
  await runOk(go, ['build', '-o', 'interop', '.'], { ...options, cwd: building });
  await rename(building, folder);
  return program;
}

async function stateOfSources(goVersion: string): Promise<string> {
  const hash = createHash('sha256').update(goVersion);
  for (const folder of [source, join(root, 'proto'), join(root, 'third_party/proto')]) {
    const names = (await readdir(folder, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    for (const name of names.sort()) hash.update(name).update(await readFile(name));
  }
  return hash.digest('hex').slice(0, 16);
}

async function isFolder(path: string): Promise<boolean> {
  return readdir(path).then(
    () => true,
    () => false,
  );
}
