export { openSessionStore } from './open.ts';
export type { OpenSessionStoreOptions } from './open.ts';
