export type { DatabaseObserver, PoolCounts } from './observed.ts';
export { openDatabase } from './open-database.ts';
export { orderedText } from './ordered-text.ts';
export { rowSecurity } from './row-security.ts';
export type { SweeperRight } from './row-security.ts';
export type {
  Database,
  MigrationEntry,
  OpenDatabaseOptions,
  Outcome,
  Scope,
  Transaction,
} from './database.ts';
export { UniqueViolationError } from './errors.ts';
