/** The tables of the state store. Every key starts with the tenant. Times are milliseconds since the epoch. */
import { defineEntity, p } from '@mikro-orm/core';
import type { AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';

/** What is known of an agent besides its history. */
export const AgentRecordEntity = defineEntity({
  name: 'AgentRecord',
  tableName: 'agent_record',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    /** Counts the changes, from 1. */
    revision: p.bigint('bigint'),
    displayName: p.text(),
    /** AgentConfig as JSON; null when the record has none. */
    config: p.text().nullable(),
    /** The labels as JSON. */
    labels: p.text(),
    createTimeMs: p.bigint('number'),
    updateTimeMs: p.bigint('number'),
  },
});

/** An agent's last known state. */
export const AgentStateEntity = defineEntity({
  name: 'AgentState',
  tableName: 'agent_state',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    epoch: p.bigint('bigint'),
    seq: p.bigint('bigint'),
    status: p.smallint().$type<AgentStatus>(),
    turnId: p.text(),
    updateTimeMs: p.bigint('number'),
  },
});

export const entities = [AgentRecordEntity, AgentStateEntity];
