import { SqliteDriver } from '@mikro-orm/sql';
import type { AbstractSqlDriver } from '@mikro-orm/sql';

/** The type of a text column that is ordered byte by byte on both dialects: what pages are ordered by. */
export function orderedText(driver: AbstractSqlDriver): string {
  return driver instanceof SqliteDriver ? 'text' : 'text collate "C"';
}
