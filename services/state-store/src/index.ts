export { openStateStore } from './open.ts';
export type { OpenedStateStore, OpenStateStoreOptions } from './open.ts';
