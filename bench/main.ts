/**
 * Turns at the desktop process on SQLite against the bare Anthropic SDK: `npm run bench`. See README.md beside it.
 *
 * Options: --quick (fewer turns, one round), --rounds N, --quiet PERCENT (of the machine that other programs may take;
 * a round in which they take more is repeated), --data FOLDER (on a real disk), --profile (where the desktop's
 * CPU time goes, instead of the comparison).
 */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startProcess } from '@agentx/testing';
import type { RunningProcess } from '@agentx/testing';
import { describeMachine, describeVersions } from './machine.ts';
import type { Machine } from './machine.ts';
import { measure } from './measure.ts';
import { FULL, QUICK } from './parameters.ts';
import type { Parameters } from './parameters.ts';
import { profileDesktop } from './profile.ts';
import { buildReport, formatReport, othersShares } from './report.ts';
import type { Round } from './report.ts';
import { agentxSide, bareSide } from './sides.ts';

const MAX_REPEATS = 20;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    quiet: { type: 'string', default: '100' },
    data: { type: 'string', default: resolve(import.meta.dirname, '../.agentx') },
    profile: { type: 'boolean', default: false },
  },
});
if (process.platform !== 'linux') fail('the bench reads CPU time and memory from /proc: run it on Linux');
const maxOthers = readNumber('quiet', values.quiet) / 100;
const parameters: Parameters = {
  ...(values.quick ? QUICK : FULL),
  ...(values.rounds !== undefined && { rounds: readNumber('rounds', values.rounds) }),
};
await mkdir(values.data, { recursive: true });
const folder = await mkdtemp(join(resolve(values.data), 'bench-'));
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(1);
  });
try {
  const machine = describeMachine(folder);
  await using model = await startModel();
  if (values.profile)
    await profileDesktop({
      modelUrl: urlOf(model),
      folder,
      keepAs: join(values.data, 'desktop.cpuprofile'),
      parameters,
    });
  else await compare(model, machine);
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function compare(model: RunningProcess, machine: Machine): Promise<void> {
  const modelUrl = urlOf(model);
  const bare = bareSide(modelUrl);
  const agentx = agentxSide(modelUrl, folder);
  const measureSide = (side: typeof bare, round: number) => {
    console.error(`round ${round} of ${parameters.rounds}: ${side.name}`);
    return measure({ side, parameters, modelPid: model.pid, cores: machine.cores });
  };

  // Once for nothing: files come from the disk's cache afterwards, and tools have their sandbox.
  for (const side of [bare, agentx]) {
    const { deltas, deltaText } = parameters;
    const first = { name: 'first', clients: 1, turns: 1, paced: false, deltas, deltaText };
    await (await side.start(first)).stop();
  }
  const rounds: Round[] = [];
  let repeated = 0;
  while (rounds.length < parameters.rounds) {
    const number = rounds.length + 1;
    const round = { bare: await measureSide(bare, number), agentx: await measureSide(agentx, number) };
    if (Math.max(...othersShares(round)) <= maxOthers) rounds.push(round);
    else if (++repeated > MAX_REPEATS)
      throw new Error(`the machine is too busy with other programs: ${repeated} rounds were disturbed`);
  }

  const report = buildReport({ machine, versions: describeVersions(), parameters, repeated }, rounds);
  console.log(formatReport(report));
  const path = join(import.meta.dirname, 'results', values.quick ? 'desktop-quick.json' : 'desktop.json');
  await mkdir(join(import.meta.dirname, 'results'), { recursive: true });
  await writeFile(path, `${JSON.stringify(report, undefined, 2)}\n`);
  console.error(`written to ${path}`);
}

function startModel(): Promise<RunningProcess> {
  return startProcess({
    name: 'model',
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'processes/model.ts')],
    ready: /^model on /,
  });
}

function urlOf(model: RunningProcess): string {
  return model.stdout.find((line) => line.startsWith('model on '))?.slice('model on '.length) ?? '';
}

function readNumber(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) fail(`--${option} must be a whole number from 1, not ${text}`);
  return value;
}

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}
