import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  bounded,
  collect,
  freePort,
  runCommand,
  startDesktop,
  startProcess,
  temporaryFolder,
  waitFor,
} from '@agentx/testing';
import type { Desktop, TemporaryFolder } from '@agentx/testing';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cuttingProxy } from './harness/cutting-proxy.ts';
import { createProject, readExample, readmeExamples } from './harness/project.ts';
import type { Project } from './harness/project.ts';

/** A line that the examples print. */
interface Line {
  readonly kind?: string;
  readonly cursor?: string;
  readonly turnId?: string;
  readonly text?: string;
  readonly failed?: boolean;
  readonly reason?: string;
  readonly refused?: string;
  readonly metadata?: Record<string, string>;
}

const strict = {
  target: 'es2022',
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  outDir: 'out',
  rootDir: 'src',
};
const forNode = {
  ...strict,
  module: 'nodenext',
  lib: ['es2022', 'esnext.disposable', 'dom'],
  types: ['node'],
};
const forBrowsers = {
  ...strict,
  module: 'esnext',
  moduleResolution: 'bundler',
  lib: ['es2022', 'dom', 'dom.iterable'],
  types: [],
  noEmit: true,
};

/** What a client was told of these stays true. */
const FACTS = ['turnStarted', 'message', 'turnEnded'];

let folder: TemporaryFolder;
let project: Project;
let desktop: Desktop;
const data = () => join(folder.path, 'data');

beforeAll(async () => {
  folder = await temporaryFolder();
  const port = await freePort();
  [project, desktop] = await Promise.all([
    createProject(folder.path),
    startDesktop({ folder: data(), port }),
  ]);
}, 180_000);

afterAll(async () => {
  await desktop.stop();
  await folder.remove();
});

/** Type-checks files of `src/` with nothing else in sight. */
async function compile(compilerOptions: object, files: Record<string, string>): Promise<void> {
  const names = Object.keys(files);
  for (const name of names) await writeFile(join(project.folder, 'src', name), files[name]!);
  const settings = { compilerOptions, files: names.map((name) => `src/${name}`) };
  await writeFile(join(project.folder, 'tsconfig.json'), JSON.stringify(settings));
  expect(await project.tool('tsc', '-p', '.')).toBe('');
}

const atDesktop = (example: string) => example.replaceAll('http://127.0.0.1:8080', desktop.url);

const startExample = (program: string, ...args: string[]) =>
  startProcess({
    name: program,
    command: project.node,
    args: ['run.mjs', program, ...args],
    cwd: project.folder,
    env: {},
  });

const linesOf = (stdout: readonly string[]) => stdout.map((line) => JSON.parse(line) as Line);

/** What an example prints to its end. */
async function runExample(program: string, ...args: string[]): Promise<Line[]> {
  await using example = await startExample(program, ...args);
  expect({ ...(await example.exited), stderr: example.stderr }).toEqual({
    code: 0,
    signal: null,
    stderr: [],
  });
  return linesOf(example.stdout);
}

const textOf = (lines: readonly Line[]) => lines.map(({ text }) => text ?? '').join('');
const cursorsOf = (lines: readonly Line[]) => lines.flatMap(({ cursor }) => (cursor ? [cursor] : []));

/** The cursors of a turn as the server keeps them. */
async function storedCursors(agentId: string, turnId: string): Promise<string[]> {
  const events = await collect(desktop.engine.subscribe({ agentId, turnId }, bounded()));
  return events.map(({ cursor }) => cursor);
}

/** What holds for every entry of the package. */
function clientSuite(program: string): void {
  test('receives a turn', async () => {
    const agentId = `receives-${program.length}`;
    const lines = await runExample(program, desktop.url, agentId, 'hello');
    expect(lines[0]).toMatchObject({ kind: 'turnAccepted', cursor: '' });
    expect(textOf(lines)).toContain('You said: hello');
    expect(lines.at(-1)).toMatchObject({ kind: 'turnEnded', failed: false });
    expect(cursorsOf(lines)).toEqual(await storedCursors(agentId, lines[0]!.turnId!));
  });

  test('is told why it is refused', async () => {
    const agentId = `busy-${program.length}`;
    await using running = await startExample(program, desktop.url, agentId, '!stream 1000 1000');
    const [{ turnId }] = linesOf([await running.waitForLine(/turnAccepted/)]) as [Line];
    expect(await runExample(program, desktop.url, agentId, 'me too')).toMatchObject([
      { refused: 'TURN_IN_PROGRESS', metadata: { turn_id: turnId } },
    ]);
  });

  test('reads on through connections that break, without a gap or a duplicate', async () => {
    const agentId = `cut-${program.length}`;
    await using proxy = await cuttingProxy(desktop.port, 1_500);
    const lines = await runExample(program, proxy.url, agentId, '!stream 40 20');
    expect(proxy.cuts()).toBeGreaterThan(2);
    expect(lines.at(-1)).toMatchObject({ kind: 'turnEnded', failed: false });
    expect(cursorsOf(lines)).toEqual(await storedCursors(agentId, lines[0]!.turnId!));
    expect(lines.filter(({ kind }) => kind === 'turnAccepted')).toHaveLength(1);
    expect((await desktop.engine.listTurns({ agentId })).turns).toHaveLength(1);
  });

  test('reads on after the server was killed amid the turn, to a proper end', async () => {
    const agentId = `killed-${program.length}`;
    await using example = await startExample(program, desktop.url, agentId, '!stream 1000 50');
    // Some pieces are in the log then, and some may not be.
    const pieces = () => linesOf(example.stdout).filter(({ kind }) => kind === 'textDelta').length;
    await waitFor(() => pieces() >= 20, { what: 'twenty pieces of the answer' });
    const { port } = desktop;
    await desktop.kill();
    desktop = await startDesktop({ folder: data(), port });
    expect({ ...(await example.exited), stderr: example.stderr }).toEqual({
      code: 0,
      signal: null,
      stderr: [],
    });

    const lines = linesOf(example.stdout);
    expect(lines.at(-1)).toMatchObject({ kind: 'turnEnded', failed: true, reason: 'ENGINE_LOST' });
    expect(lines.filter(({ kind }) => kind === 'turnAccepted')).toHaveLength(1);
    const seen = cursorsOf(lines);
    expect(new Set(seen).size).toBe(seen.length);
    // All that is kept was seen, in its order; what was seen beyond had not been written yet, and is no fact.
    const stored = await storedCursors(agentId, lines[0]!.turnId!);
    const isStored = new Set(stored);
    expect(seen.filter((cursor) => isStored.has(cursor))).toEqual(stored);
    const lost = lines.filter(({ cursor }) => cursor && !isStored.has(cursor));
    expect(lost.filter(({ kind = '' }) => FACTS.includes(kind))).toEqual([]);
  });
}

test('the tarball has JavaScript, declarations and what it says of itself, and names what it needs', async () => {
  const installed = join(project.folder, 'node_modules/@agentx/client');
  const files = (await readdir(installed, { recursive: true })).filter((name) => /\.\w+$|LICENSE/.test(name));
  expect(files).toEqual(expect.arrayContaining(['README.md', 'LICENSE', 'dist/index.d.ts', 'dist/web.js']));
  expect(files.filter((name) => !/\.js$|\.d\.ts$|^package\.json$|^README\.md$|^LICENSE$/.test(name))).toEqual(
    [],
  );
  const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as Record<
    string,
    object
  >;
  expect(Object.keys(manifest['dependencies']!).sort()).toEqual([
    '@bufbuild/protobuf',
    '@connectrpc/connect',
    '@grpc/grpc-js',
  ]);
  expect(manifest['private']).toBeUndefined();
});

describe('in Node', () => {
  beforeAll(async () => {
    const readme = await readmeExamples(/createAgentxClient/);
    expect(readme).toHaveLength(2);
    await compile(forNode, {
      'node.ts': await readExample('node.ts'),
      ...Object.fromEntries(readme.map((text, index) => [`readme-${index}.ts`, atDesktop(text)])),
    });
  }, 60_000);

  clientSuite('./out/node.js');

  test.each([
    ['streams an answer', 'readme-0.js', /You said: hello/],
    ['shows the reason of a refusal', 'readme-1.js', /^(?:TURN|AGENT)_NOT_FOUND\n$/],
  ])('the README: %s', async (_what, file, output) => {
    const { code, stdout, stderr } = await runCommand(project.node, [join('out', file)], {
      cwd: project.folder,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.toString()).toMatch(output);
  });
});

describe('in browsers', () => {
  let inputs: string[];

  beforeAll(async () => {
    await project.install('@connectrpc/connect-web');
    const readme = await readmeExamples(/createAgentxWebClient/);
    expect(readme).toHaveLength(1);
    await compile(forBrowsers, { 'web.ts': await readExample('web.ts'), 'readme-web.ts': readme[0]! });
    // For browsers an import of a part of Node is an error.
    const flags = [
      '--bundle',
      '--format=esm',
      '--platform=browser',
      '--target=es2022',
      '--log-level=warning',
    ];
    await project.tool(
      'esbuild',
      'src/web.ts',
      ...flags,
      '--outfile=out/web-bundle.js',
      '--metafile=out/meta.json',
    );
    const meta = JSON.parse(await readFile(join(project.folder, 'out/meta.json'), 'utf8')) as {
      inputs: object;
    };
    inputs = Object.keys(meta.inputs);
  }, 90_000);

  test('the bundle has the client and nothing of grpc-js', () => {
    expect(inputs).toContain('node_modules/@agentx/client/dist/web.js');
    expect(inputs.filter((path) => /grpc-js|grpc-transport|^\(/.test(path))).toEqual([]);
  });

  clientSuite('./out/web-bundle.js');
});
