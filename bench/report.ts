import type { Machine, Versions } from './machine.ts';
import type { Figures } from './measure.ts';
import { spread } from './numbers.ts';
import type { Spread } from './numbers.ts';
import type { Parameters } from './parameters.ts';

/** What both sides came to in one round. */
export interface Round {
  readonly bare: Figures;
  readonly agentx: Figures;
}

type Figure = Exclude<keyof Figures, 'surroundings'>;

interface Column {
  readonly figure: Figure;
  readonly title: string;
  /** How AgentX stands to the bare SDK. */
  readonly against: 'times' | 'added' | 'none';
  readonly digits: number;
}

const COLUMNS: readonly Column[] = [
  { figure: 'turnsPerSecond', title: 'turns/s, {clients} at once', against: 'times', digits: 0 },
  { figure: 'cpuMsPerTurn', title: 'CPU ms per turn, {clients} at once', against: 'times', digits: 2 },
  {
    figure: 'cpuUsPerEvent',
    title: 'CPU µs per event, {clients} paced at {perDeltaMs} ms',
    against: 'times',
    digits: 0,
  },
  { figure: 'ttftMedianMs', title: 'time to first text, 1 client, median, ms', against: 'added', digits: 1 },
  { figure: 'ttftP99Ms', title: 'time to first text, 1 client, p99, ms', against: 'added', digits: 1 },
  { figure: 'firstAnswerMs', title: 'start to first answer, ms', against: 'times', digits: 0 },
  { figure: 'rssIdleMiB', title: 'memory idle, MiB', against: 'times', digits: 0 },
  { figure: 'rssLoadMiB', title: 'memory at most, {clients} at once, MiB', against: 'times', digits: 0 },
  { figure: 'bytesPerTurn', title: 'bytes to the client per turn', against: 'none', digits: 0 },
];

export interface Report {
  readonly date: string;
  readonly machine: Machine;
  readonly versions: Versions;
  readonly parameters: Parameters;
  /** Rounds that other programs disturbed: measured again, their figures thrown away. */
  readonly repeated: number;
  readonly summary: Readonly<Record<Figure, FigureSummary>>;
  readonly rounds: readonly Round[];
}

interface FigureSummary {
  readonly bare: Spread;
  readonly agentx: Spread;
  /** AgentX divided by the bare SDK, round by round. */
  readonly ratio?: Spread;
  /** AgentX minus the bare SDK, round by round. */
  readonly added?: Spread;
}

export function buildReport(
  about: Pick<Report, 'machine' | 'versions' | 'parameters' | 'repeated'>,
  rounds: readonly Round[],
): Report {
  const summary = Object.fromEntries(COLUMNS.map((column) => [column.figure, summarize(column, rounds)]));
  return { date: new Date().toISOString(), ...about, summary: summary as Report['summary'], rounds };
}

function summarize({ figure, against }: Column, rounds: readonly Round[]): FigureSummary {
  const both = rounds.map(({ bare, agentx }) => ({ bare: bare[figure], agentx: agentx[figure] }));
  return {
    bare: spread(both.map(({ bare }) => bare)),
    agentx: spread(both.map(({ agentx }) => agentx)),
    ...(against === 'times' && { ratio: spread(both.map(({ bare, agentx }) => agentx / bare)) }),
    ...(against === 'added' && { added: spread(both.map(({ bare, agentx }) => agentx - bare)) }),
  };
}

/** What other programs took of the machine while each side was measured. */
export function othersShares({ bare, agentx }: Round): number[] {
  return [bare, agentx].map(({ surroundings }) => surroundings.othersCpuShare);
}

export function formatReport({ machine, versions, parameters, repeated, summary, rounds }: Report): string {
  const { disk } = machine;
  const rows = COLUMNS.map((column) => formatRow(column, parameters, summary[column.figure]));
  const others = Math.max(...rounds.flatMap(othersShares));
  return [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, Linux ${machine.kernel}; data on ${disk.device} (${disk.fileSystem}, ${disk.syncMs.toFixed(2)} ms a sync)`,
    `Node ${versions.node}, @anthropic-ai/sdk ${versions.sdk}, AgentX ${versions.agentx}`,
    `${parameters.deltas} text deltas a turn, a new conversation each turn; median (min-max) of ${rounds.length} rounds`,
    `other programs took ${(others * 100).toFixed(0)} % of the machine at most; ${repeated} rounds thrown away for that`,
    '',
    ...alignColumns([['', 'bare SDK', 'AgentX', 'AgentX to bare'], ...rows]),
  ].join('\n');
}

function formatRow(column: Column, parameters: Parameters, summary: FigureSummary): string[] {
  const title = column.title
    .replace('{clients}', String(parameters.clients))
    .replace('{perDeltaMs}', String(parameters.perDeltaMs));
  const bare = column.against === 'none' ? '-' : formatSpread(summary.bare, column.digits);
  const ratio = summary.ratio && `× ${formatSpread(summary.ratio, 2)}`;
  const added = summary.added && `+ ${formatSpread(summary.added, column.digits)}`;
  return [title, bare, formatSpread(summary.agentx, column.digits), ratio ?? added ?? '-'];
}

function formatSpread({ median, min, max }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}-${max.toFixed(digits)})`;
}

function alignColumns(rows: readonly string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
