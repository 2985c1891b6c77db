import { Migration } from '@mikro-orm/migrations';
import { orderedText } from '@agentx/service-kit';

export class CountedTurns extends Migration {
  override up(): void {
    this.addSql(`create table counted_turn (
      tenant_id text not null,
      turn_id ${orderedText(this.driver)} not null,
      agent_id text not null,
      model text not null,
      end_time_ms bigint not null,
      cost_micro_usd bigint,
      input_tokens bigint not null,
      output_tokens bigint not null,
      cache_read_tokens bigint not null,
      cache_write_5m_tokens bigint not null,
      cache_write_1h_tokens bigint not null,
      server_tool_requests bigint not null,
      stats text not null,
      primary key (tenant_id, turn_id)
    )`);
    this.addSql('create index counted_turn_by_time on counted_turn (tenant_id, end_time_ms, turn_id)');
    this.addSql(
      'create index counted_turn_by_agent on counted_turn (tenant_id, agent_id, end_time_ms, turn_id)',
    );
  }
}
