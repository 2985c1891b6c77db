import { Migration } from '@mikro-orm/migrations';
import { orderedText } from '@agentx/service-kit';

export class Agents extends Migration {
  override up(): void {
    this.addSql(`create table agent_record (
      tenant_id text not null,
      agent_id ${orderedText(this.driver)} not null,
      revision bigint not null,
      display_name text not null,
      config text,
      labels text not null,
      create_time_ms bigint not null,
      update_time_ms bigint not null,
      primary key (tenant_id, agent_id)
    )`);
    this.addSql(`create table agent_state (
      tenant_id text not null,
      agent_id text not null,
      epoch bigint not null,
      seq bigint not null,
      status smallint not null,
      turn_id text not null,
      update_time_ms bigint not null,
      primary key (tenant_id, agent_id)
    )`);
  }
}
