import { Counter, Gauge, Histogram } from 'prom-client';
import type { TokenUsage, TurnStats } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { Metrics } from '@agentx/service-kit';
import { stopReasonName } from './gen-ai.ts';

/** How a call of the model ended; `cut`: by the engine, before its end. */
export type ModelCallEnd = 'ok' | 'failed' | 'cut';

/** What one call of the model came to. */
export interface ModelCallTotals {
  /** As the provider names it; empty where it did not come to answer. */
  readonly model: string;
  readonly end: ModelCallEnd;
  readonly durationMs: number;
  /** Until the first piece of the answer. */
  readonly ttftMs: number | undefined;
  readonly usage: TokenUsage | undefined;
  /** Undefined: the model has no known price. */
  readonly costMicroUsd: bigint | undefined;
}

/** The metrics of an engine. */
export interface EngineMetrics {
  readonly turnsBegun: (how: 'received' | 'taken_over') => void;
  readonly turnEnded: (stats: TurnStats) => void;
  readonly turnLeft: () => void;
  readonly batchWritten: (lagMs: number) => void;
  readonly leaseRenewed: (result: 'ok' | 'failed') => void;
  readonly leaseLost: () => void;
  readonly modelCalled: (totals: ModelCallTotals) => void;
  readonly modelFailed: (reason: string) => void;
  readonly toolRan: (tool: string, outcome: string, durationMs: number) => void;
  /** Where the number of running turns is asked for. */
  readonly countTurnsBy: (count: () => number) => void;
}

const lagBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10];
const ttftBuckets = [0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60];
const durationBuckets = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];

/** Labels come from agents' configurations and providers: so many are told apart, the rest is `other`. */
const MAX_LABELS = 50;

/** Creates the metrics of an engine. */
export function createEngineMetrics({ registry }: Pick<Metrics, 'registry'>): EngineMetrics {
  const turns = createTurnMetrics(registry);
  const work = createWorkMetrics(registry);
  return { ...turns, ...work };
}

function createTurnMetrics(registry: Metrics['registry']) {
  const registers = [registry];
  let countTurns = () => 0;
  new Gauge({
    name: 'agentx_turns_active',
    help: 'Turns that this engine runs now.',
    registers,
    collect() {
      this.set(countTurns());
    },
  });
  const begun = new Counter({
    name: 'agentx_turns_begun_total',
    help: 'Turns that this engine began to run: received from a client, or taken over from an engine that was gone.',
    labelNames: ['how'],
    registers,
  });
  const ended = new Counter({
    name: 'agentx_turns_ended_total',
    help: 'Turns whose end this engine has committed, by stop reason.',
    labelNames: ['stop_reason'],
    registers,
  });
  const left = new Counter({
    name: 'agentx_turns_left_total',
    help: 'Turns that this engine could not bring to an end and left to others.',
    registers,
  });
  const unpriced = new Counter({
    name: 'agentx_turns_unpriced_total',
    help: 'Ended turns with a model whose price is not known: their cost is not known either.',
    registers,
  });
  const seconds = new Histogram({
    name: 'agentx_turn_seconds',
    help: 'Duration of turns, from the commit of the message to their end.',
    buckets: durationBuckets,
    registers,
  });
  const ttft = new Histogram({
    name: 'agentx_turn_ttft_seconds',
    help: "Time from the commit of the user's message to the first piece of the answer.",
    buckets: ttftBuckets,
    registers,
  });
  const lag = new Histogram({
    name: 'agentx_event_write_lag_seconds',
    help: 'Time from the first event of a batch to the commit of the batch.',
    buckets: lagBuckets,
    registers,
  });
  const renewals = new Counter({
    name: 'agentx_lease_renewals_total',
    help: 'Attempts to extend the lease of a turn that writes nothing.',
    labelNames: ['result'],
    registers,
  });
  const losses = new Counter({
    name: 'agentx_leases_lost_total',
    help: 'Turns that this engine gave up because their lease was lost or may have been.',
    registers,
  });
  return {
    countTurnsBy: (count: () => number) => {
      countTurns = count;
    },
    turnsBegun: (how: 'received' | 'taken_over') => {
      begun.inc({ how });
    },
    turnEnded: (stats: TurnStats) => {
      ended.inc({ stop_reason: stopReasonName(stats.stopReason) });
      if (stats.costMicroUsd === undefined) unpriced.inc();
      seconds.observe(Number(stats.durationMs) / 1000);
      if (stats.ttftMs !== undefined) ttft.observe(Number(stats.ttftMs) / 1000);
    },
    turnLeft: () => {
      left.inc();
    },
    batchWritten: (lagMs: number) => {
      lag.observe(lagMs / 1000);
    },
    leaseRenewed: (result: 'ok' | 'failed') => {
      renewals.inc({ result });
    },
    leaseLost: () => {
      losses.inc();
    },
  };
}

function createWorkMetrics(registry: Metrics['registry']) {
  const registers = [registry];
  const calls = new Histogram({
    name: 'agentx_model_call_seconds',
    help: 'Duration of calls of the model, by how they ended.',
    labelNames: ['model', 'end'],
    buckets: durationBuckets,
    registers,
  });
  const ttft = new Histogram({
    name: 'agentx_model_ttft_seconds',
    help: 'Time from a call of the model to the first piece of its answer.',
    labelNames: ['model'],
    buckets: ttftBuckets,
    registers,
  });
  const errors = new Counter({
    name: 'agentx_model_errors_total',
    help: 'Calls of the model that failed, by reason.',
    labelNames: ['reason'],
    registers,
  });
  const tokens = new Counter({
    name: 'agentx_model_tokens_total',
    help: 'Tokens of all calls of the model, also of those that were thrown away.',
    labelNames: ['model', 'kind'],
    registers,
  });
  const cost = new Counter({
    name: 'agentx_model_cost_micro_usd_total',
    help: 'What those tokens cost, in millionths of a US dollar.',
    labelNames: ['model'],
    registers,
  });
  const tools = new Counter({
    name: 'agentx_tool_runs_total',
    help: 'Calls of tools, by tool and outcome.',
    labelNames: ['tool', 'outcome'],
    registers,
  });
  const toolSeconds = new Histogram({
    name: 'agentx_tool_run_seconds',
    help: 'Duration of calls of tools.',
    labelNames: ['tool'],
    buckets: durationBuckets,
    registers,
  });
  const modelLabel = boundedLabels();
  const toolLabel = boundedLabels();
  return {
    modelCalled: (totals: ModelCallTotals) => {
      const model = modelLabel(totals.model);
      calls.observe({ model, end: totals.end }, totals.durationMs / 1000);
      if (totals.ttftMs !== undefined) ttft.observe({ model }, totals.ttftMs / 1000);
      for (const [kind, count] of tokenKinds(totals.usage))
        if (count > 0n) tokens.inc({ model, kind }, Number(count));
      if (totals.costMicroUsd !== undefined) cost.inc({ model }, Number(totals.costMicroUsd));
    },
    modelFailed: (reason: string) => {
      errors.inc({ reason });
    },
    toolRan: (name: string, outcome: string, durationMs: number) => {
      const tool = toolLabel(name);
      tools.inc({ tool, outcome });
      toolSeconds.observe({ tool }, durationMs / 1000);
    },
  };
}

function tokenKinds(usage: TokenUsage | undefined): readonly (readonly [string, bigint])[] {
  if (usage === undefined) return [];
  return [
    ['input', usage.inputTokens],
    ['output', usage.outputTokens],
    ['cache_read', usage.cacheReadTokens],
    ['cache_write_5m', usage.cacheWrite5mTokens],
    ['cache_write_1h', usage.cacheWrite1hTokens],
  ];
}

function boundedLabels(): (value: string) => string {
  const seen = new Set<string>();
  return (value) => {
    if (value === '') return 'unknown';
    if (seen.has(value)) return value;
    if (seen.size >= MAX_LABELS) return 'other';
    seen.add(value);
    return value;
  };
}
