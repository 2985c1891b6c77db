import { beforeEach, describe, expect, test } from '@jest/globals';
import { create } from '@bufbuild/protobuf';
import { Registry } from 'prom-client';
import { StopReason, TokenUsageSchema, TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { DriverError } from './driver/driver.ts';
import type { Driver, DriverEvent, ModelRequest } from './driver/driver.ts';
import { createEngineMetrics } from './metrics.ts';
import type { EngineMetrics } from './metrics.ts';
import { observeDriver } from './observe-driver.ts';
import { observeEngine } from './observe-engine.ts';
import { observeToolbox } from './observe-toolbox.ts';
import { priceUsage } from './pricing/pricing.ts';
import type { ToolContext, ToolResult } from './tools/tool.ts';

const MODEL = 'claude-sonnet-4-5';

let registry: Registry;
let metrics: EngineMetrics;

beforeEach(() => {
  registry = new Registry();
  metrics = createEngineMetrics({ registry });
});

/** The series of a metric that are not zero: by their labels, in the order of their names. */
async function series(name: string): Promise<Record<string, number>> {
  const { values } = (await registry.getMetricsAsJSON()).find((metric) => metric.name === name)!;
  const entries = values as { value: number; labels: Record<string, string | number>; metricName?: string }[];
  return Object.fromEntries(
    entries
      .filter(({ value, metricName }) => value !== 0 && (metricName ?? `${name}_count`) === `${name}_count`)
      .map(({ value, labels }) => [Object.values(labels).join(' '), value]),
  );
}

describe('calls of a model', () => {
  const usage = create(TokenUsageSchema, { inputTokens: 100n, outputTokens: 10n, cacheReadTokens: 1000n });
  const begin: DriverEvent = {
    type: 'message_start',
    model: MODEL,
    usage: create(TokenUsageSchema, { inputTokens: 100n, outputTokens: 1n }),
  };
  const piece: DriverEvent = { type: 'text_delta', part: 0, text: 'Hello' };
  const end: readonly DriverEvent[] = [
    { type: 'message_delta', stopReason: StopReason.END_TURN, usage },
    { type: 'message_stop' },
  ];

  /** @returns what came through, and what it threw */
  async function call(events: readonly DriverEvent[], failure?: Error, take = Infinity) {
    const driver: Driver = {
      name: 'simulated',
      async *stream() {
        await Promise.resolve();
        yield* events;
        if (failure !== undefined) throw failure;
      },
    };
    const request: ModelRequest = { model: MODEL, system: '', history: [], tools: [], maxOutputTokens: 1 };
    const seen: DriverEvent[] = [];
    const observed = observeDriver(driver, { metrics, priceUsage });
    try {
      for await (const event of observed.stream(request, new AbortController().signal)) {
        seen.push(event);
        if (seen.length === take) break;
      }
    } catch (error) {
      return { seen, error };
    }
    return { seen, error: undefined };
  }

  test('are counted with their tokens by kind and their cost, and pass unchanged', async () => {
    const events = [begin, piece, ...end];
    expect(await call(events)).toEqual({ seen: events, error: undefined });
    expect(await series('agentx_model_call_seconds')).toEqual({ [`${MODEL} ok`]: 1 });
    expect(await series('agentx_model_ttft_seconds')).toEqual({ [MODEL]: 1 });
    expect(await series('agentx_model_tokens_total')).toEqual({
      [`${MODEL} input`]: 100,
      [`${MODEL} output`]: 10,
      [`${MODEL} cache_read`]: 1000,
    });
    // 3, 15 and 0.3 micro-USD a token.
    expect(await series('agentx_model_cost_micro_usd_total')).toEqual({ [MODEL]: 750 });
    expect(await series('agentx_model_errors_total')).toEqual({});
  });

  test('that fail are counted by reason, with what they had used', async () => {
    const error = new DriverError('MODEL_OVERLOADED', 'too much to do', { retryable: true });
    expect(await call([begin], error)).toEqual({ seen: [begin], error });
    expect(await call([], error)).toEqual({ seen: [], error });
    expect(await series('agentx_model_errors_total')).toEqual({ MODEL_OVERLOADED: 2 });
    expect(await series('agentx_model_call_seconds')).toEqual({
      [`${MODEL} failed`]: 1,
      'unknown failed': 1,
    });
    expect(await series('agentx_model_tokens_total')).toEqual({
      [`${MODEL} input`]: 100,
      [`${MODEL} output`]: 1,
    });
    expect(await series('agentx_model_ttft_seconds')).toEqual({});
  });

  test('that the engine cuts off are no errors of the model', async () => {
    const error = new Error('interrupted');
    expect(await call([begin, piece], error)).toMatchObject({ error });
    expect(await call([begin, piece, ...end], undefined, 2)).toMatchObject({ seen: [begin, piece] });
    expect(await series('agentx_model_call_seconds')).toEqual({ [`${MODEL} cut`]: 2 });
    expect(await series('agentx_model_errors_total')).toEqual({});
  });

  test('have no cost where the price is not known', async () => {
    await call([{ ...begin, model: 'simulated' }, piece, ...end]);
    expect(await series('agentx_model_cost_micro_usd_total')).toEqual({});
    expect(await series('agentx_model_tokens_total')).toMatchObject({ 'simulated input': 100 });
  });

  test('have a bounded number of labels, whatever models are called', async () => {
    for (let i = 0; i < 80; i++) await call([{ ...begin, model: `model-${i}` }, ...end]);
    const counted = await series('agentx_model_call_seconds');
    expect(Object.keys(counted)).toHaveLength(51);
    expect(counted['other ok']).toBe(30);
  });
});

describe('runs of tools', () => {
  const result: ToolResult = { content: 'secret', isError: true, outcome: 'ERROR', workingDirectory: '' };
  const toolbox = (run: () => Promise<ToolResult>) =>
    observeToolbox(
      { definitions: [{ kind: 'anthropic', type: 'bash_20250124', name: 'bash' }], run },
      metrics,
    );
  const call = { toolCallId: 't1', name: 'bash', inputJson: '{}' };

  test('are counted by tool and outcome', async () => {
    expect(await toolbox(() => Promise.resolve(result)).run(call, {} as ToolContext)).toBe(result);
    expect(await series('agentx_tool_runs_total')).toEqual({ 'bash error': 1 });
    expect(await series('agentx_tool_run_seconds')).toEqual({ bash: 1 });
  });

  test('that throw are faults, and tools that do not exist have no name', async () => {
    const failing = toolbox(() => Promise.reject(new Error('broken')));
    await expect(failing.run({ ...call, name: 'made up by a model' }, {} as ToolContext)).rejects.toThrow(
      'broken',
    );
    expect(await series('agentx_tool_runs_total')).toEqual({ 'unknown fault': 1 });
  });
});

describe('turns', () => {
  const turn = { tenantId: 'default', agentId: 'a1', turnId: 't1' };

  test('are counted from their beginning to their end', async () => {
    const observer = observeEngine(metrics);
    observer.begin({ ...turn, takenOver: false }).ended(
      create(TurnStatsSchema, {
        stopReason: StopReason.END_TURN,
        durationMs: 1200n,
        ttftMs: 300n,
        costMicroUsd: 5n,
      }),
      undefined,
    );
    observer
      .begin({ ...turn, takenOver: true })
      .ended(create(TurnStatsSchema, { stopReason: StopReason.ERROR }), 'ENGINE_LOST');
    observer.begin({ ...turn, takenOver: false }).left();
    expect(await series('agentx_turns_begun_total')).toEqual({ received: 2, taken_over: 1 });
    expect(await series('agentx_turns_ended_total')).toEqual({ end_turn: 1, error: 1 });
    expect(await series('agentx_turns_left_total')).toEqual({ '': 1 });
    expect(await series('agentx_turns_unpriced_total')).toEqual({ '': 1 });
    expect(await series('agentx_turn_seconds')).toEqual({ '': 2 });
    expect(await series('agentx_turn_ttft_seconds')).toEqual({ '': 1 });
  });

  test('tell of their lease and of their log', async () => {
    const observed = observeEngine(metrics).begin({ ...turn, takenOver: false });
    expect(await observed.renewal(() => Promise.resolve('renewed'))).toBe('renewed');
    await expect(observed.renewal(() => Promise.reject(new Error('fenced')))).rejects.toThrow('fenced');
    observed.leaseLost();
    observed.batchWritten(20);
    expect(await series('agentx_lease_renewals_total')).toEqual({ ok: 1, failed: 1 });
    expect(await series('agentx_leases_lost_total')).toEqual({ '': 1 });
    expect(await series('agentx_event_write_lag_seconds')).toEqual({ '': 1 });
  });
});
