/**
 * `npm run pack:client -w packages/client [-- FOLDER]`: writes what is published, JavaScript and type declarations with
 * the messages inside, as a tarball into FOLDER (by default this package's). The workspace runs the sources.
 */
import { execFileSync } from 'node:child_process';
import { copyFile, cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly type: string;
  readonly sideEffects: boolean;
  readonly exports: Record<string, string>;
  readonly dependencies: Record<string, string>;
  readonly peerDependencies: Record<string, string>;
  readonly peerDependenciesMeta: Record<string, { readonly optional: boolean }>;
}

const root = fileURLToPath(new URL('../../../', import.meta.url));
const source = join(root, 'packages/client');

/** What runs on the oldest Node and the oldest browsers: using more than that is an error. */
const compilerOptions = {
  noEmit: false,
  declaration: true,
  rewriteRelativeImportExtensions: true,
  target: 'es2022',
  lib: ['es2022', 'esnext.disposable'],
  rootDir: 'src',
  outDir: 'dist',
};

/** Compiles into `staging/dist`: the package's own files, and those messages that they use under `gen/`. */
async function compile(staging: string): Promise<void> {
  const sources = join(staging, 'src');
  await cp(join(source, 'src'), sources, { recursive: true, filter: (path) => !path.endsWith('.test.ts') });
  await rewrite(sources, (text, name) => {
    const gen = relative(dirname(name), 'gen');
    return text.replaceAll(/'@agentx\/gen\/([^'\n]+)'/g, `'${gen.startsWith('.') ? '' : './'}${gen}/$1'`);
  });
  await cp(join(root, 'gen'), join(sources, 'gen'), { recursive: true });
  await symlink(join(root, 'node_modules'), join(staging, 'node_modules'));
  const project = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [] };
  const files = ['src/index.ts', 'src/web.ts'];
  await writeFile(join(staging, 'tsconfig.json'), JSON.stringify({ ...project, files }));
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', staging], {
    stdio: 'inherit',
  });
  // The compiler does it in JavaScript only.
  await rewrite(join(staging, 'dist'), (text) =>
    text.replaceAll(/(\b(?:from |import |import\())(['"])(\.\.?\/[^'"\n]+)\.ts\2/g, '$1$2$3.js$2'),
  );
}

/** Rewrites every file of a folder; names are relative to it. */
async function rewrite(folder: string, change: (text: string, name: string) => string): Promise<void> {
  for (const name of await readdir(folder, { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    const file = join(folder, name);
    await writeFile(file, change(await readFile(file, 'utf8'), name));
  }
}

/** The manifest of what is published. Ranges of dependencies are wide, so that a project has one copy of each. */
function published(manifest: Manifest) {
  const { name, version, description, license, type, sideEffects } = manifest;
  const { '@agentx/gen': _, ...dependencies } = manifest.dependencies;
  const entries = Object.entries(manifest.exports).map(([path, file]) => {
    const built = file.replace('./src/', './dist/').replace(/\.ts$/, '');
    return [path, { types: `${built}.d.ts`, default: `${built}.js` }] as const;
  });
  return {
    name,
    version,
    description,
    license,
    type,
    sideEffects,
    engines: { node: '>=20.9' },
    files: ['dist'],
    exports: Object.fromEntries(entries),
    dependencies: Object.fromEntries(
      Object.entries(dependencies).map(([dependency, exact]) => [dependency, `^${exact}`]),
    ),
    peerDependencies: manifest.peerDependencies,
    peerDependenciesMeta: manifest.peerDependenciesMeta,
  };
}

const destination = resolve(process.argv[2] ?? source);
const staging = await mkdtemp(join(tmpdir(), 'agentx-pack-'));
try {
  const manifest = JSON.parse(await readFile(join(source, 'package.json'), 'utf8')) as Manifest;
  await writeFile(join(staging, 'package.json'), `${JSON.stringify(published(manifest), undefined, 2)}\n`);
  await compile(staging);
  await copyFile(join(source, 'README.md'), join(staging, 'README.md'));
  await copyFile(join(root, 'LICENSE'), join(staging, 'LICENSE'));
  const tarball = execFileSync('npm', ['pack', '--silent', '--pack-destination', destination], {
    cwd: staging,
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
  });
  console.log(join(destination, tarball.trim()));
} finally {
  await rm(staging, { recursive: true, force: true });
}
