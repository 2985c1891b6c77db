export { createStoreMetrics } from './database-metrics.ts';
export type { DatabaseMetrics, StoreMetrics } from './database-metrics.ts';
export { followDependencies } from './follow-dependencies.ts';
export type { FollowDependenciesOptions } from './follow-dependencies.ts';
export { createLastOutcome } from './last-outcome.ts';
export type { LastOutcome, LastOutcomeOptions } from './last-outcome.ts';
export { createMetrics, observeCalls } from './metrics.ts';
export type { Metrics } from './metrics.ts';
export { createReadiness } from './readiness.ts';
export type {
  Dependencies,
  Dependency,
  DependencyOutcome,
  Readiness,
  ReadinessOptions,
} from './readiness.ts';
export { superviseTransport } from './supervise-transport.ts';
export type { SupervisedTransport } from './supervise-transport.ts';
export { startOps } from './start-ops.ts';
export type { Ops, OpsOptions } from './start-ops.ts';
