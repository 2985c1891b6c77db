import { setTimeout as delay } from 'node:timers/promises';
import { hostname } from 'node:os';
import { context, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context, Span as OtelSpan, TextMapGetter, TextMapSetter } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { detectResources, resourceFromAttributes } from '@opentelemetry/resources';
import { resourceAttributesEnvDetector, serviceNameEnvDetector } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { SpanExporter } from '@opentelemetry/sdk-trace';
import type { Program } from '../env/index.ts';
import type { Logger } from '../logging/index.ts';
import { createSampler } from './sampler.ts';
import type { LogFields, Span, SpanAttributes, SpanOptions, Tracing } from './tracing.ts';

export interface TracingOptions {
  readonly program: Program;
  readonly env: NodeJS.ProcessEnv;
  readonly log: Logger;
  /** Where spans go. Default: the OTLP endpoint of the environment. */
  readonly exporter?: SpanExporter;
}

/** How long a program that ends waits for its last spans to be taken. */
const CLOSE_MS = 3000;
/** An endpoint that stays away is complained of this often. */
const COMPLAINT_MS = 60_000;
/** Whatever comes to stand in an attribute, it is not more than this. */
const MAX_ATTRIBUTE_LENGTH = 256;

const propagator = new W3CTraceContextPropagator();
const kinds = { internal: SpanKind.INTERNAL, server: SpanKind.SERVER, client: SpanKind.CLIENT };

const fromHeaders: TextMapGetter<Headers> = {
  keys: (header) => [...header.keys()],
  get: (header, key) => header.get(key) ?? undefined,
};
const toHeaders: TextMapSetter<Headers> = {
  set: (header, key, value) => {
    header.set(key, value);
  },
};

/** Traces by OpenTelemetry's SDK. The exporter reads its own settings (`OTEL_EXPORTER_OTLP_*`) from the process. */
export function createTracing({ program, env, log, exporter }: TracingOptions): Tracing {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  complainTo(log);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': `agentx-${program}`,
      'service.instance.id': `${hostname()}-${process.pid}`,
    }).merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] })),
    sampler: createSampler(env),
    spanLimits: { attributeValueLengthLimit: MAX_ATTRIBUTE_LENGTH },
    spanProcessors: [new BatchSpanProcessor({ exporter: exporter ?? new OTLPTraceExporter() })],
  });
  const tracer = provider.getTracer('agentx');
  return {
    startSpan: (name, options = {}) => {
      const parent = parentOf(options);
      const kind = kinds[options.kind ?? 'internal'];
      const span = tracer.startSpan(name, { kind, attributes: known(options.attributes) }, parent);
      return new ContextSpan(span, trace.setSpan(parent, span));
    },
    linkActive: (to) => {
      if (to instanceof ContextSpan) trace.getActiveSpan()?.addLink({ context: to.otel.spanContext() });
    },
    logFields: () => {
      const ids = trace.getSpanContext(context.active());
      return ids && ({ trace_id: ids.traceId, span_id: ids.spanId } satisfies LogFields);
    },
    flush: () => provider.forceFlush(),
    close: async () => {
      const late = new AbortController();
      const timeUp = delay(CLOSE_MS, 'late' as const, { signal: late.signal }).catch(() => 'late' as const);
      const end = await Promise.race([provider.shutdown().catch((error: unknown) => ({ error })), timeUp]);
      late.abort();
      if (end !== undefined)
        log.warn(end === 'late' ? {} : { err: end.error }, 'the last spans were not taken');
      context.disable();
    },
  };
}

class ContextSpan implements Span {
  readonly #span: OtelSpan;
  readonly #context: Context;

  constructor(span: OtelSpan, spanContext: Context) {
    this.#span = span;
    this.#context = spanContext;
  }

  run<T>(work: () => T): T {
    return context.with(this.#context, work);
  }

  set(attributes: SpanAttributes): void {
    this.#span.setAttributes(known(attributes));
  }

  get otel(): OtelSpan {
    return this.#span;
  }

  carry(header: Headers): void {
    propagator.inject(this.#context, header, toHeaders);
  }

  end(failure?: string): void {
    if (failure !== undefined) {
      this.#span.setAttribute('error.type', failure);
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

function parentOf({ from }: SpanOptions): Context {
  // What comes in is a part of the caller's trace, not of what happens to be active where it is answered.
  return from === undefined ? context.active() : propagator.extract(ROOT_CONTEXT, from, fromHeaders);
}

function known(attributes: SpanAttributes = {}) {
  const entries = Object.entries(attributes).map(
    ([key, value]) => [key, typeof value === 'object' ? [...value] : value] as const,
  );
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** Spans that cannot be sent are lost; the log says so, now and then. */
function complainTo(log: Logger): void {
  let lastMs = -Infinity;
  setGlobalErrorHandler((error) => {
    const nowMs = performance.now();
    if (nowMs - lastMs < COMPLAINT_MS) return;
    lastMs = nowMs;
    log.warn({ err: error }, 'spans could not be sent and are lost');
  });
}
