import { Migration } from '@mikro-orm/migrations';
import { rowSecurity } from '@agentx/service-kit';

/** Tenants are kept apart by the database too. */
export class RowSecurity extends Migration {
  override up(): void {
    for (const table of ['agent_record', 'agent_state'])
      for (const statement of rowSecurity(this.driver, table)) this.addSql(statement);
  }
}
