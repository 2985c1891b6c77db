export { openDatabase } from './open-database.ts';
export { orderedText } from './ordered-text.ts';
export type { Database, MigrationEntry, OpenDatabaseOptions, Outcome, Transaction } from './database.ts';
export { UniqueViolationError } from './errors.ts';
