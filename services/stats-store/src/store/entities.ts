/** The tables of the statistics store. Every key starts with the tenant. Times are milliseconds since the epoch. */
import { defineEntity, p } from '@mikro-orm/core';

/** One row per ended turn: what is selected and summed as columns, and the whole as it came. */
export const CountedTurnEntity = defineEntity({
  name: 'CountedTurn',
  tableName: 'counted_turn',
  properties: {
    tenantId: p.text().primary(),
    turnId: p.text().primary(),
    agentId: p.text(),
    model: p.text(),
    endTimeMs: p.bigint('number'),
    /** Null when the model's price is not known. */
    costMicroUsd: p.bigint('bigint').nullable(),
    inputTokens: p.bigint('bigint'),
    outputTokens: p.bigint('bigint'),
    cacheReadTokens: p.bigint('bigint'),
    cacheWrite5mTokens: p.bigint('bigint').fieldName('cache_write_5m_tokens'),
    cacheWrite1hTokens: p.bigint('bigint').fieldName('cache_write_1h_tokens'),
    serverToolRequests: p.bigint('bigint'),
    /** TurnStats as JSON. */
    stats: p.text(),
  },
});

export const entities = [CountedTurnEntity];
