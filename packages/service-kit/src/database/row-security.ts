import { SqliteDriver } from '@mikro-orm/sql';
import type { AbstractSqlDriver } from '@mikro-orm/sql';
import { SWEEPER_SETTING, TENANT_SETTING } from './postgres/scope.ts';

/** What the work that crosses tenants may do with the rows of a table. */
export type SweeperRight = 'select' | 'update';

/**
 * Statements of a migration that put a table under row-level security: rows are seen and written by their own tenant
 * only, whatever a query says, and by the sweeper as far as it has the right. The table's owner is no exception (only
 * a superuser is, or a role with BYPASSRLS). SQLite has none: no statements.
 */
export function rowSecurity(
  driver: AbstractSqlDriver,
  table: string,
  sweeper: readonly SweeperRight[] = [],
): string[] {
  if (driver instanceof SqliteDriver) return [];
  // After a transaction that set it, a setting is not null but empty.
  const own = `tenant_id = nullif(current_setting('${TENANT_SETTING}', true), '')`;
  const sweeps = `current_setting('${SWEEPER_SETTING}', true) = 'on'`;
  return [
    `alter table ${table} enable row level security`,
    `alter table ${table} force row level security`,
    `create policy own_tenant on ${table} using (${own}) with check (${own})`,
    ...sweeper.map((right) => `create policy sweeper_${right} on ${table} for ${right} using (${sweeps})`),
  ];
}
