import { copyFile, readdir, readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Profiler } from 'node:inspector';
import type { Parameters } from './parameters.ts';
import { agentxSide } from './sides.ts';

export interface ProfileOptions {
  readonly modelUrl: string;
  /** Working folder of the desktop process. */
  readonly folder: string;
  /** Where the profile is kept, for Chrome's developer tools. */
  readonly keepAs: string;
  readonly parameters: Parameters;
}

const root = resolve(import.meta.dirname, '..');
const projectUrl = `${pathToFileURL(root).href}/`;
const SHOWN = 25;
const SAMPLE_US = 200;
/** So many times the turns of the comparison, so that the start weighs little. */
const TIMES = 5;

/**
 * Prints where the desktop's time goes under turns without pace: by function, by package or file, and by the file of
 * the project that asked for it (what runs beneath it in dependencies and Node counts for it).
 */
export async function profileDesktop(options: ProfileOptions): Promise<void> {
  const { modelUrl, folder, keepAs, parameters } = options;
  const { deltas, deltaText, clients } = parameters;
  const turns = parameters.burstTurns * TIMES;
  const load = { clients: 1, turns: 1, paced: false, deltas, deltaText };
  const nodeOptions = ['--cpu-prof', `--cpu-prof-interval=${SAMPLE_US}`, `--cpu-prof-dir=${folder}`];
  const side = await agentxSide(modelUrl, folder, nodeOptions).start({ ...load, name: 'profile-first' });
  await side.run({ ...load, name: 'profile', clients, turns });
  await side.stop();
  const name = (await readdir(folder)).find((file) => file.endsWith('.cpuprofile'));
  if (name === undefined) throw new Error('the desktop process wrote no profile');
  await copyFile(join(folder, name), keepAs);
  const profile = JSON.parse(await readFile(join(folder, name), 'utf8')) as Profiler.Profile;

  const selfUs = selfTimes(profile);
  const askedBy = askingFiles(profile);
  const asking = new Map<string, number>();
  const files = new Map<string, number>();
  const functions = new Map<string, number>();
  for (const { id, callFrame } of profile.nodes) {
    const us = selfUs.get(id) ?? 0;
    const place = placeOf(callFrame);
    add(files, place.owner, us);
    add(asking, askedBy.get(id) ?? place.owner, us);
    add(
      functions,
      `${callFrame.functionName || '(anonymous)'} ${place.file}:${callFrame.lineNumber + 1}`,
      us,
    );
  }
  const idle = files.get('(idle)') ?? 0;
  const busy = [...files.values()].reduce((sum, us) => sum + us, 0) - idle;
  console.log(`${turns} turns, ${clients} at once: ${(busy / 1e6).toFixed(2)} s busy with the profiler on\n`);
  for (const [title, times] of [
    ["by the project's file that asked for it", asking],
    ['by package or file', files],
    ['by function', functions],
  ] as const) {
    console.log(`self time ${title}`);
    for (const [name, us] of [...times].toSorted(([, a], [, b]) => b - a).slice(0, SHOWN + 1))
      if (!name.startsWith('(idle)')) console.log(formatLine(name, us, busy, turns));
    console.log();
  }
  console.log(`the whole profile: ${keepAs}`);
}

/** For each node the project's file nearest to it up its stack. */
function askingFiles({ nodes }: Profiler.Profile): Map<number, string> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const found = new Map<number, string>();
  const visit = (id: number, asking: string | undefined) => {
    const node = byId.get(id);
    if (node === undefined) return;
    const { file } = placeOf(node.callFrame);
    const own = node.callFrame.url.startsWith(projectUrl) && !node.callFrame.url.includes('/node_modules/');
    const next = own ? file : asking;
    if (next !== undefined) found.set(id, next);
    for (const child of node.children ?? []) visit(child, next);
  };
  const [top] = nodes;
  if (top !== undefined) visit(top.id, undefined);
  return found;
}

function selfTimes({ samples = [], timeDeltas = [] }: Profiler.Profile): Map<number, number> {
  const times = new Map<number, number>();
  for (const [index, id] of samples.entries()) add(times, id, timeDeltas[index + 1] ?? 0);
  return times;
}

function add<K>(sums: Map<K, number>, key: K, value: number): void {
  sums.set(key, (sums.get(key) ?? 0) + value);
}

/** The package of a dependency, else the file; and the file within it. */
function placeOf({ url, functionName }: Profiler.Profile['nodes'][number]['callFrame']) {
  if (url === '') return { owner: functionName || '(native)', file: '' };
  if (!url.startsWith('file:')) return { owner: url, file: url };
  const file = relative(root, fileURLToPath(url));
  const owner = /^(?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file;
  return { owner, file: file.replace(/^.*node_modules\//, '') };
}

function formatLine(name: string, us: number, busy: number, turns: number): string {
  const share = ((us / busy) * 100).toFixed(1).padStart(5);
  return `${share} %  ${(us / turns).toFixed(0).padStart(6)} µs a turn  ${name}`;
}
