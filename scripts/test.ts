/**
 * `npm test`: installs what the tests need, then runs every check and every test, and ends with the line
 * `N passed, N failed`. A step that is no test run counts as one test.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jestCommand, runStep, seconds } from './run-step.ts';

interface Count {
  passed: number;
  failed: number;
}

/** The part of jest's `--json` output that is counted. */
interface JestResults {
  numPassedTests: number;
  numFailedTests: number;
  numRuntimeErrorTestSuites: number;
}

const node = ['node', '--disable-warning=ExperimentalWarning'];

const steps: [name: string, command: string[]][] = [
  ['install what the tests need', [...node, 'scripts/infra/install.ts']],
  ['generated code is fresh', [...node, 'scripts/generate.ts', '--check']],
  ['buf lint', ['buf', 'lint']],
  ['buf format', ['buf', 'format', '--diff', '--exit-code', 'proto']],
  ['eslint', ['eslint', '.']],
  ['prettier', ['prettier', '--check', '--log-level', 'warn', '.']],
  ['tsc', ['tsc']],
  ['reference is fresh', [...node, 'scripts/reference.ts', '--check']],
];

async function runPlainStep(name: string, command: string[]): Promise<Count> {
  console.log(`\n--- ${name}`);
  const { ok, durationMs } = await runStep(command, true);
  console.log(`${ok ? 'ok' : 'FAILED'} (${seconds(durationMs)})`);
  return ok ? { passed: 1, failed: 0 } : { passed: 0, failed: 1 };
}

/** Runs one of jest's projects. A run that failed without a failed test, such as a crash, counts as one failure. */
async function runJest(project: string, folder: string): Promise<Count & { tests: number }> {
  console.log(`\n--- jest ${project}`);
  const outputFile = join(folder, `${project}.json`);
  const arguments_ = [`--selectProjects=${project}`, '--ci', '--json', `--outputFile=${outputFile}`];
  const { ok } = await runStep([...jestCommand, ...arguments_, ...process.argv.slice(2)], true);
  const results = await readFile(outputFile, 'utf8').then(
    (text) => JSON.parse(text) as JestResults,
    () => ({ numPassedTests: 0, numFailedTests: 0, numRuntimeErrorTestSuites: 0 }),
  );
  const passed = results.numPassedTests;
  const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
  return { passed, failed: ok ? failed : Math.max(failed, 1), tests: passed + results.numFailedTests };
}

const folder = await mkdtemp(join(tmpdir(), 'agentx-test-'));
try {
  const counts: Count[] = [];
  for (const [name, command] of steps) counts.push(await runPlainStep(name, command));
  let tests = 0;
  for (const project of ['fast', 'parts', 'suites']) {
    const count = await runJest(project, folder);
    counts.push(count);
    tests += count.tests;
  }
  const passed = counts.reduce((sum, count) => sum + count.passed, 0);
  const failed = counts.reduce((sum, count) => sum + count.failed, 0);
  if (tests === 0) console.log('\nNo test ran.');
  process.exitCode = failed > 0 || tests === 0 ? 1 : 0;
  console.log(`\n${passed} passed, ${failed} failed`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
