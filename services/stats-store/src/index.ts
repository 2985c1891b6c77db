export { openStatsStore } from './open.ts';
export type { OpenedStatsStore, OpenStatsStoreOptions } from './open.ts';
