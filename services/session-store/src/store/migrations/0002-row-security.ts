import { Migration } from '@mikro-orm/migrations';
import { rowSecurity } from '@agentx/service-kit';
import type { SweeperRight } from '@agentx/service-kit';

/** Tenants are kept apart by the database too. The watch for work crosses them: it reads leases and the outbox. */
export class RowSecurity extends Migration {
  override up(): void {
    for (const [table, sweeper] of tables)
      for (const statement of rowSecurity(this.driver, table, sweeper)) this.addSql(statement);
  }
}

const tables: readonly (readonly [name: string, sweeper: readonly SweeperRight[]])[] = [
  // A desktop that starts lets all leases expire.
  ['lease', ['select', 'update']],
  ['outbox', ['select']],
  ['turn', []],
  ['message', []],
  ['event_batch', []],
  ['model_attempt', []],
  ['tool_run', []],
];
