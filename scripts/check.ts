/** The loop while developing: everything that can be said without starting a process or a database. */
import { availableParallelism } from 'node:os';
import { jestCommand, runStep, seconds } from './run-step.ts';

/** The slowest first, so that the short ones fill the gaps. */
const steps: [name: string, command: string[]][] = [
  ['eslint', ['eslint', '.']],
  ['test:fast', [...jestCommand, '--selectProjects=fast']],
  ['tsc', ['tsc']],
  ['reference', ['node', '--disable-warning=ExperimentalWarning', 'scripts/reference.ts', '--check']],
  ['prettier', ['prettier', '--check', '--log-level', 'warn', '.']],
  ['generate:check', ['node', 'scripts/generate.ts', '--check']],
  ['buf lint', ['buf', 'lint']],
  ['buf format', ['buf', 'format', '--diff', '--exit-code', 'proto']],
];

const startedAt = performance.now();
const failed: string[] = [];
const queue = [...steps];

async function work(): Promise<void> {
  for (let step = queue.shift(); step; step = queue.shift()) {
    const [name, command] = step;
    const { ok, output, durationMs } = await runStep(command);
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name.padEnd(15)} ${seconds(durationMs)}`);
    if (!ok) {
      failed.push(name);
      console.log(`\n${output.trimEnd()}\n`);
    }
  }
}

await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work));
const total = seconds(performance.now() - startedAt);
if (failed.length > 0) {
  const formats = failed.some((name) => name === 'prettier' || name === 'buf format');
  console.log(
    `${failed.join(', ')} failed (${total})${formats ? '; `npm run format` mends the formatting' : ''}`,
  );
  process.exitCode = 1;
} else {
  console.log(`all ${steps.length} checks passed (${total})`);
}
