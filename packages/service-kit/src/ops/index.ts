export { createMetrics, observeCalls } from './metrics.ts';
export type { Metrics } from './metrics.ts';
export { createReadiness } from './readiness.ts';
export type { DependencyOutcome, Readiness, ReadinessOptions } from './readiness.ts';
export { startOps } from './start-ops.ts';
export type { Ops, OpsOptions } from './start-ops.ts';
