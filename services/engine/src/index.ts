export { engineConfig } from './config.ts';
export type { EngineConfig } from './config.ts';
export { connectStores, storeDependencies } from './connect-stores.ts';
export { openEngine } from './open.ts';
export type { OpenedEngine } from './open.ts';
export { serveEngine } from './serve.ts';
export { clientsOf } from './stores.ts';
export type { Stores } from './stores.ts';
