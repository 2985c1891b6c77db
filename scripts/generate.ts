/**
 * Generates `gen/` from the protobuf files. With `--check`, writes nothing and fails where `gen/` is not what
 * the protobuf files say.
 */
import { cp, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, runStep } from './run-step.ts';

const target = join(root, 'gen');

/** Paths of the generated files beneath `folder`, sorted. */
async function generatedFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => name.endsWith('_pb.ts') && !name.includes('node_modules')).sort();
}

/** One line for every file that differs between what was generated now and what the repository holds. */
async function differences(fresh: string): Promise<string[]> {
  const [wanted, present] = await Promise.all([generatedFiles(fresh), generatedFiles(target)]);
  const stale = present
    .filter((name) => !wanted.includes(name))
    .map((name) => `gen/${name}: no longer generated`);
  const changed = await Promise.all(
    wanted.map(async (name) => {
      if (!present.includes(name)) return `gen/${name}: missing`;
      const [now, kept] = await Promise.all([readFile(join(fresh, name)), readFile(join(target, name))]);
      return now.equals(kept) ? [] : `gen/${name}: differs`;
    }),
  );
  return [...stale, ...changed.flat()];
}

const fresh = await mkdtemp(join(tmpdir(), 'agentx-gen-'));
try {
  const { ok, output } = await runStep(['buf', 'generate', '--output', fresh]);
  if (!ok) {
    console.error(output.trimEnd());
    process.exitCode = 1;
  } else {
    const found = await differences(join(fresh, 'gen'));
    if (!process.argv.includes('--check')) {
      await Promise.all((await generatedFiles(target)).map((name) => rm(join(target, name))));
      await cp(join(fresh, 'gen'), target, { recursive: true });
      console.log(`gen: ${found.length === 0 ? 'already fresh' : `${found.length} files changed`}`);
    } else if (found.length > 0) {
      console.error(`${found.join('\n')}\ngen/ does not match the protobuf files: run \`npm run generate\``);
      process.exitCode = 1;
    }
  }
} finally {
  await rm(fresh, { recursive: true, force: true });
}
