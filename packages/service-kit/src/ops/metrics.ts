import type { DescMethod } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { Program } from '../env/index.ts';
import type { CallEnd, CallObserver } from '../middleware.ts';

/** Seconds; from a read of one row to a turn that works for ten minutes. */
const rpcBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600];

/** The metrics of one program. Further ones are made with prom-client and `registers: [metrics.registry]`. */
export interface Metrics {
  readonly registry: Registry;
  /** Calls that have ended. `code` is the gRPC status: `ok`, `not_found` … */
  readonly rpcTotal: Counter<'service' | 'method' | 'code'>;
  /** How long calls took, streams from beginning to end. */
  readonly rpcSeconds: Histogram<'service' | 'method'>;
  /** Calls and streams that run now. */
  readonly rpcActive: Gauge<'service' | 'method'>;
}

/** Creates the metrics of a program in a registry of their own, with those of the Node process. */
export function createMetrics(program: Program): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ program });
  // The event loop's lag is sampled by a timer: every 10 ms as by default wakes an idle process for nothing.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  const registers = [registry];
  return {
    registry,
    rpcTotal: new Counter({
      name: 'agentx_rpc_total',
      help: 'Calls that have ended, by gRPC status code.',
      labelNames: ['service', 'method', 'code'],
      registers,
    }),
    rpcSeconds: new Histogram({
      name: 'agentx_rpc_seconds',
      help: 'Duration of calls, streams from beginning to end.',
      labelNames: ['service', 'method'],
      buckets: rpcBuckets,
      registers,
    }),
    rpcActive: new Gauge({
      name: 'agentx_rpc_active',
      help: 'Calls and streams that run now.',
      labelNames: ['service', 'method'],
      registers,
    }),
  };
}

function codeName(code: Code | undefined): string {
  return code === undefined ? 'ok' : Code[code].replace(/(?!^)[A-Z]/g, '_$&').toLowerCase();
}

/** @see observeCalls */
interface CountedCalls extends CallObserver {
  begin(method: DescMethod, header: Headers): CallEnd;
}

/** Counts and times calls: one of the `observers` of a service chain. */
export function observeCalls(metrics: Metrics): CountedCalls {
  const byMethod = new WeakMap<DescMethod, ReturnType<typeof children>>();
  const children = (method: DescMethod) => {
    const labels = { service: method.parent.typeName, method: method.name };
    return {
      labels,
      seconds: metrics.rpcSeconds.labels(labels),
      active: metrics.rpcActive.labels(labels),
    };
  };
  return {
    begin(method) {
      let known = byMethod.get(method);
      if (!known) byMethod.set(method, (known = children(method)));
      const { labels, seconds, active } = known;
      active.inc();
      return (code, durationMs) => {
        active.dec();
        seconds.observe(durationMs / 1000);
        metrics.rpcTotal.inc({ ...labels, code: codeName(code) });
      };
    },
  };
}
