import { Migration } from '@mikro-orm/migrations';

/** The first shape of the turn log. One text for both dialects but for the name of the type of bytes. */
export class TurnLog extends Migration {
  override up(): void {
    const bytes = this.driver.getPlatform().getBlobDeclarationSQL();
    for (const statement of statements(bytes)) this.addSql(statement);
  }
}

function statements(bytes: string): string[] {
  return [
    `create table lease (
      tenant_id text not null,
      agent_id text not null,
      epoch bigint not null,
      acquisition_id text not null,
      engine_id text not null,
      turn_id text not null,
      expires_at_ms bigint not null,
      last_seq bigint not null,
      next_position integer not null,
      floor_position integer not null,
      interrupt_requested smallint not null,
      interrupt_reason text not null,
      claims integer not null,
      primary key (tenant_id, agent_id)
    )`,
    // The sweep for turns without an engine crosses tenants and must not read idle agents. The expiry is no part of it:
    // every write of a turn moves it, and PostgreSQL can then update the row in place.
    `create index lease_unfinished on lease (tenant_id, agent_id) where turn_id <> ''`,
    `create table turn (
      tenant_id text not null,
      agent_id text not null,
      turn_id text not null,
      request_id text not null,
      request_hash ${bytes} not null,
      status smallint not null,
      stop_reason smallint not null,
      error ${bytes},
      create_time_ms bigint not null,
      start_time_ms bigint,
      end_time_ms bigint,
      engine_id text not null,
      config ${bytes} not null,
      max_output_tokens bigint not null,
      max_iterations bigint not null,
      first_position integer not null,
      start_epoch bigint not null,
      start_seq bigint not null,
      end_epoch bigint,
      end_seq bigint,
      working_directory text not null,
      stats ${bytes},
      primary key (tenant_id, agent_id, turn_id)
    )`,
    `create unique index turn_request on turn (tenant_id, agent_id, request_id)`,
    `create index turn_newest on turn (tenant_id, agent_id, create_time_ms desc, turn_id desc)`,
    `create table message (
      tenant_id text not null,
      agent_id text not null,
      position integer not null,
      message_id text not null,
      turn_id text not null,
      kind text not null,
      request_id text,
      create_time_ms bigint not null,
      body ${bytes} not null,
      primary key (tenant_id, agent_id, position)
    )`,
    `create unique index message_request on message (tenant_id, agent_id, request_id)`,
    `create table event_batch (
      tenant_id text not null,
      agent_id text not null,
      epoch bigint not null,
      last_seq bigint not null,
      first_seq bigint not null,
      turn_id text not null,
      engine_id text not null,
      ends_turn smallint not null,
      events ${bytes} not null,
      primary key (tenant_id, agent_id, epoch, last_seq)
    )`,
    `create table model_attempt (
      tenant_id text not null,
      agent_id text not null,
      turn_id text not null,
      step bigint not null,
      attempt bigint not null,
      model text not null,
      status smallint not null,
      engine_id text not null,
      epoch bigint not null,
      start_time_ms bigint not null,
      end_time_ms bigint,
      usage ${bytes},
      cost_micro_usd bigint,
      reserved_micro_usd bigint,
      error_reason text not null,
      primary key (tenant_id, agent_id, turn_id, step, attempt)
    )`,
    `create table tool_run (
      tenant_id text not null,
      agent_id text not null,
      turn_id text not null,
      tool_call_id text not null,
      run bigint not null,
      step bigint not null,
      ordinal integer not null,
      name text not null,
      input_json text not null,
      status smallint not null,
      outcome smallint not null,
      engine_id text not null,
      epoch bigint not null,
      start_time_ms bigint,
      end_time_ms bigint,
      primary key (tenant_id, agent_id, turn_id, tool_call_id, run)
    )`,
    `create table outbox (
      tenant_id text not null,
      outbox_id text not null,
      agent_id text not null,
      create_time_ms bigint not null,
      entry ${bytes} not null,
      primary key (tenant_id, outbox_id)
    )`,
  ];
}
