/**
 * Puts in place what the tests need beyond npm packages, under `.infra/` where it can be kept there:
 * `npx node scripts/infra/install.ts [part ...]`. Without a name: every part. What is there already is left as it is.
 * What cannot be installed here (no root, no apt) is named at the end, with how to get it, and the exit code is 1.
 */
import { partNames } from '../../packages/testing/src/infra/parts.ts';
import { parts } from './parts.ts';
import type { Part } from './parts.ts';

async function main(names: string[]): Promise<void> {
  const unknown = names.filter((name) => !parts.some((part) => part.name === name));
  if (unknown.length > 0) {
    throw new Error(`no part is called ${unknown.join(', ')}; the parts are: ${partNames.join(', ')}`);
  }
  const chosen = names.length === 0 ? parts : parts.filter(({ name }) => names.includes(name));
  const found = await Promise.all(chosen.map((part) => part.present()));

  const missing: string[] = [];
  for (const [index, part] of chosen.entries()) {
    const place = found[index];
    if (place !== undefined) console.log(`${part.name}: ${place}`);
    else await install(part).catch((error: unknown) => missing.push(describeMissing(part, error)));
  }
  if (missing.length === 0) return;
  console.error(`\nMissing, and not to be installed by this command:\n${missing.join('\n')}`);
  process.exitCode = 1;
}

/** One after the other: they share apt, and each uses all processors when it compiles. */
async function install(part: Part): Promise<void> {
  console.log(`${part.name}: installing`);
  await part.install();
  const place = await part.present();
  if (place === undefined) throw new Error('it was installed, and still cannot be found');
  console.log(`${part.name}: ${place}`);
}

function describeMissing({ name, how }: Part, error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return `- ${name}: ${reason.trimEnd()}\n  To get it: ${how}`;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
