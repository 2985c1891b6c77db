export { openSessionStore } from './open.ts';
export type { OpenedSessionStore, OpenSessionStoreOptions } from './open.ts';
