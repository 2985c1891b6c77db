import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from './numbers.ts';
import type { Parameters } from './parameters.ts';
import { cpuMs, machineBusyMs, memoryMiB, resetPeak } from './proc.ts';
import type { LoadRequest, Side, StartedSide } from './sides.ts';

/** What one side came to in one round. */
export interface Figures {
  /** All clients at once, the model answers at once. */
  readonly turnsPerSecond: number;
  /** User and system time of the measured process, in the same load. */
  readonly cpuMsPerTurn: number;
  /** The same for each piece of text, all clients at once, the model answers at its pace. */
  readonly cpuUsPerEvent: number;
  /** One client. */
  readonly ttftMedianMs: number;
  readonly ttftP99Ms: number;
  readonly firstAnswerMs: number;
  /** A second after the first turn. */
  readonly rssIdleMiB: number;
  /** At most, with all clients at once. */
  readonly rssLoadMiB: number;
  /** All that the clients' connections received. 0 for the bare SDK, which has no clients. */
  readonly bytesPerTurn: number;
  /** Not the side's own: for judging how disturbed the figures are. */
  readonly surroundings: {
    readonly clientCpuMsPerTurn: number;
    readonly modelCpuMsPerTurn: number;
    /** Share of the machine's CPU time that went to others than this bench, from the side's start to its stop. */
    readonly othersCpuShare: number;
  };
}

export interface MeasureOptions {
  readonly side: Side;
  readonly parameters: Parameters;
  readonly modelPid: number;
  readonly cores: number;
}

/** What is done behind the answers (statistics, write-behind) belongs to the turns too. */
const SETTLE_MS = 500;
const IDLE_MS = 1000;

/** Starts a side, measures it and stops it. Throws when a single turn failed. */
export async function measure(options: MeasureOptions): Promise<Figures> {
  const { side, parameters } = options;
  const { clients } = parameters;
  const load = (kind: string, turns: number, at: { clients: number; paced?: boolean }): LoadRequest => ({
    name: kind,
    turns,
    clients: at.clients,
    paced: at.paced ?? false,
    deltas: parameters.deltas,
    deltaText: parameters.deltaText,
  });

  const othersShare = watchOthers(options);
  const started = await side.start(load('first', 1, { clients: 1 }));
  try {
    await sleep(IDLE_MS);
    const rssIdleMiB = memoryMiB(started.pid).rss;
    await started.run(load('warm', parameters.warmUpTurns, { clients }));
    await started.run(load('warm-paced', clients, { clients, paced: true }));
    const single = await started.run(load('single', parameters.singleTurns, { clients: 1 }));
    resetPeak(started.pid);
    const burst = await runMeasured(options, started, load('burst', parameters.burstTurns, { clients }));
    const paced = await runMeasured(
      options,
      started,
      load('paced', parameters.pacedTurns, { clients, paced: true }),
    );
    return {
      turnsPerSecond: (parameters.burstTurns * 1000) / burst.wallMs,
      cpuMsPerTurn: burst.cpuMs / parameters.burstTurns,
      cpuUsPerEvent: (paced.cpuMs * 1000) / (parameters.pacedTurns * parameters.deltas),
      ttftMedianMs: quantile(single.ttftMs, 0.5),
      ttftP99Ms: quantile(single.ttftMs, 0.99),
      firstAnswerMs: started.firstAnswerMs,
      rssIdleMiB,
      rssLoadMiB: memoryMiB(started.pid).peak,
      bytesPerTurn: burst.bytesReceived / parameters.burstTurns,
      surroundings: {
        clientCpuMsPerTurn: burst.clientCpuMs / parameters.burstTurns,
        modelCpuMsPerTurn: burst.modelCpuMs / parameters.burstTurns,
        othersCpuShare: othersShare(started),
      },
    };
  } finally {
    await started.stop();
  }
}

async function runMeasured({ modelPid }: MeasureOptions, side: StartedSide, load: LoadRequest) {
  await sleep(SETTLE_MS);
  const before = readCpu(side, modelPid);
  const result = await side.run(load);
  await sleep(SETTLE_MS);
  const after = readCpu(side, modelPid);
  return {
    ...result,
    cpuMs: after.side - before.side,
    modelCpuMs: after.model - before.model,
    clientCpuMs: after.client - before.client,
  };
}

function readCpu({ pid, clientPid }: StartedSide, modelPid: number) {
  return { side: cpuMs(pid), model: cpuMs(modelPid), client: clientPid === undefined ? 0 : cpuMs(clientPid) };
}

/** From now until the returned function is called. */
function watchOthers({ modelPid, cores }: MeasureOptions): (side: StartedSide) => number {
  const lasting = () => cpuMs(modelPid) + cpuMs(process.pid);
  const startMs = performance.now();
  const busyBefore = machineBusyMs();
  const lastingBefore = lasting();
  return (side) => {
    const own = readCpu(side, modelPid);
    const ours = own.side + own.client + lasting() - lastingBefore;
    const others = machineBusyMs() - busyBefore - ours;
    return Math.max(0, others) / ((performance.now() - startMs) * cores);
  };
}
