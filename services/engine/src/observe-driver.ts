import type { StopReason, TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { activeTracing } from '@agentx/service-kit';
import type { Span } from '@agentx/service-kit';
import { bringsContent, DriverError } from './driver/driver.ts';
import type { Driver, DriverEvent, ModelRequest } from './driver/driver.ts';
import { genAi, operation, stopReasonName } from './gen-ai.ts';
import type { EngineMetrics, ModelCallEnd } from './metrics.ts';
import type { priceUsage } from './pricing/pricing.ts';

export interface ObserveDriverOptions {
  readonly metrics: Pick<EngineMetrics, 'modelCalled' | 'modelFailed'>;
  readonly priceUsage: typeof priceUsage;
}

/** The same driver, with each call measured and traced: what it came to, never what was said. */
export function observeDriver(driver: Driver, options: ObserveDriverOptions): Driver {
  return {
    name: driver.name,
    stream: (request, signal) => ({
      [Symbol.asyncIterator]: () =>
        new ObservedCall(
          driver.stream(request, signal)[Symbol.asyncIterator](),
          driver.name,
          request,
          options,
        ),
    }),
  };
}

class ObservedCall implements AsyncIterator<DriverEvent, undefined> {
  readonly #inner: AsyncIterator<DriverEvent>;
  readonly #options: ObserveDriverOptions;
  readonly #span: Span | undefined;
  readonly #startMs = performance.now();
  #ttftMs: number | undefined;
  #model = '';
  #usage: TokenUsage | undefined;
  #stopReason: StopReason | undefined;
  #ended = false;

  constructor(
    inner: AsyncIterator<DriverEvent>,
    provider: Driver['name'],
    request: ModelRequest,
    options: ObserveDriverOptions,
  ) {
    this.#inner = inner;
    this.#options = options;
    this.#span = activeTracing()?.startSpan(`${operation.modelCall} ${request.model}`, {
      kind: 'client',
      attributes: {
        [genAi.operation]: operation.modelCall,
        [genAi.provider]: provider,
        [genAi.requestModel]: request.model,
        [genAi.requestMaxTokens]: request.maxOutputTokens,
      },
    });
  }

  next(): Promise<IteratorResult<DriverEvent, undefined>> {
    const next = this.#span === undefined ? this.#inner.next() : this.#span.run(() => this.#inner.next());
    return next.then(this.#onResult, this.#onError);
  }

  async return(): Promise<IteratorResult<DriverEvent, undefined>> {
    this.#end('cut');
    await this.#inner.return?.();
    return { done: true, value: undefined };
  }

  readonly #onResult = (
    result: IteratorResult<DriverEvent, unknown>,
  ): IteratorResult<DriverEvent, undefined> => {
    if (result.done === true) {
      this.#end('ok');
      return { done: true, value: undefined };
    }
    this.#see(result.value);
    return result;
  };

  readonly #onError = (error: unknown): never => {
    if (error instanceof DriverError) {
      this.#options.metrics.modelFailed(error.reason);
      this.#end('failed', error.reason);
    } else this.#end('cut');
    throw error;
  };

  #see(event: DriverEvent): void {
    if (bringsContent(event)) this.#ttftMs ??= performance.now() - this.#startMs;
    if (event.type === 'message_start') this.#model = event.model;
    if (event.type === 'message_delta') this.#stopReason = event.stopReason;
    if (event.type === 'message_start' || event.type === 'message_delta') this.#usage = event.usage;
  }

  #end(end: ModelCallEnd, failure?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    const { metrics, priceUsage } = this.#options;
    metrics.modelCalled({
      model: this.#model,
      end,
      durationMs: performance.now() - this.#startMs,
      ttftMs: this.#ttftMs,
      usage: this.#usage,
      costMicroUsd: this.#usage && priceUsage(this.#model, this.#usage)?.costMicroUsd,
    });
    if (this.#span !== undefined) this.#endSpan(this.#span, end, failure);
  }

  #endSpan(span: Span, end: ModelCallEnd, failure: string | undefined): void {
    span.set({
      ...usageAttributes(this.#usage),
      [genAi.responseModel]: this.#model === '' ? undefined : this.#model,
      [genAi.finishReasons]: this.#stopReason === undefined ? undefined : [stopReasonName(this.#stopReason)],
      'agentx.model.end': end,
      'agentx.model.ttft_ms': this.#ttftMs === undefined ? undefined : Math.round(this.#ttftMs),
    });
    span.end(failure);
  }
}

/** Token counts of a span. */
export function usageAttributes(usage: TokenUsage | undefined) {
  if (usage === undefined) return {};
  return {
    [genAi.inputTokens]: Number(usage.inputTokens),
    [genAi.outputTokens]: Number(usage.outputTokens),
    [genAi.cacheReadTokens]: Number(usage.cacheReadTokens),
    [genAi.cacheWriteTokens]: Number(usage.cacheWrite5mTokens + usage.cacheWrite1hTokens),
  };
}
