/**
 * The tables of the session store. Every key starts with the tenant. Times are integer milliseconds since the epoch,
 * taken from the database's clock; blobs are serialized protobuf messages, kept byte for byte.
 */
import { defineEntity, p } from '@mikro-orm/core';

/** One row per agent that ever ran a turn; never deleted, so that an epoch is never used twice. */
export const LeaseEntity = defineEntity({
  name: 'Lease',
  tableName: 'lease',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    /** Counts acquisitions. Fencing compares it, never the expiry. */
    epoch: p.bigint('number'),
    acquisitionId: p.text(),
    engineId: p.text(),
    /** The unfinished turn; empty when the agent is idle. */
    turnId: p.text(),
    expiresAtMs: p.bigint('number'),
    lastSeq: p.bigint('number'),
    nextPosition: p.integer(),
    /** Messages up to this position were cleared. */
    floorPosition: p.integer(),
    interruptRequested: p.smallint(),
    interruptReason: p.text(),
    /** Acquisitions of the turn without progress since. */
    claims: p.integer(),
  },
});

/** One row per turn, queued, running or ended. */
export const TurnEntity = defineEntity({
  name: 'Turn',
  tableName: 'turn',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    turnId: p.text().primary(),
    requestId: p.text(),
    requestHash: p.blob(),
    status: p.smallint(),
    stopReason: p.smallint(),
    /** Serialized ErrorMessage; null unless the turn failed. */
    error: p.blob().nullable(),
    createTimeMs: p.bigint('number'),
    startTimeMs: p.bigint('number').nullable(),
    endTimeMs: p.bigint('number').nullable(),
    engineId: p.text(),
    /** Serialized AgentConfig as of the start. */
    config: p.blob(),
    maxOutputTokens: p.bigint('number'),
    maxIterations: p.bigint('number'),
    firstPosition: p.integer(),
    startEpoch: p.bigint('number'),
    startSeq: p.bigint('number'),
    endEpoch: p.bigint('number').nullable(),
    endSeq: p.bigint('number').nullable(),
    workingDirectory: p.text(),
    /** Serialized TurnStats; null until the turn has ended. */
    stats: p.blob().nullable(),
  },
});

/** An agent's history. */
export const MessageEntity = defineEntity({
  name: 'Message',
  tableName: 'message',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    position: p.integer().primary(),
    messageId: p.text(),
    turnId: p.text(),
    /** user, assistant, toolResult, error or summary. */
    kind: p.text(),
    /** Key of AddMessage; null for the messages of a turn. */
    requestId: p.text().nullable(),
    createTimeMs: p.bigint('number'),
    /** Serialized Message. */
    body: p.blob(),
  },
});

/** The event log: one row a batch. */
export const EventBatchEntity = defineEntity({
  name: 'EventBatch',
  tableName: 'event_batch',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    epoch: p.bigint('number').primary(),
    lastSeq: p.bigint('number').primary(),
    firstSeq: p.bigint('number'),
    turnId: p.text(),
    engineId: p.text(),
    endsTurn: p.smallint(),
    /** Serialized AgentEventBatch. */
    events: p.blob(),
  },
});

/** Every call of the model. */
export const ModelAttemptEntity = defineEntity({
  name: 'ModelAttempt',
  tableName: 'model_attempt',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    turnId: p.text().primary(),
    step: p.bigint('number').primary(),
    attempt: p.bigint('number').primary(),
    model: p.text(),
    status: p.smallint(),
    engineId: p.text(),
    epoch: p.bigint('number'),
    startTimeMs: p.bigint('number'),
    endTimeMs: p.bigint('number').nullable(),
    /** Serialized TokenUsage; null until it is known. */
    usage: p.blob().nullable(),
    costMicroUsd: p.bigint('number').nullable(),
    reservedMicroUsd: p.bigint('number').nullable(),
    errorReason: p.text(),
  },
});

/** Every tool call, from plan to result. */
export const ToolRunEntity = defineEntity({
  name: 'ToolRun',
  tableName: 'tool_run',
  properties: {
    tenantId: p.text().primary(),
    agentId: p.text().primary(),
    turnId: p.text().primary(),
    toolCallId: p.text().primary(),
    run: p.bigint('number').primary(),
    step: p.bigint('number'),
    /** Place among the calls of its step, from 0. */
    ordinal: p.integer(),
    name: p.text(),
    inputJson: p.text(),
    status: p.smallint(),
    outcome: p.smallint(),
    engineId: p.text(),
    epoch: p.bigint('number'),
    startTimeMs: p.bigint('number').nullable(),
    endTimeMs: p.bigint('number').nullable(),
  },
});

/** What the statistics and state stores must still be told: commit point C7. */
export const OutboxEntity = defineEntity({
  name: 'Outbox',
  tableName: 'outbox',
  properties: {
    tenantId: p.text().primary(),
    outboxId: p.text().primary(),
    agentId: p.text(),
    createTimeMs: p.bigint('number'),
    /** Serialized OutboxEntry. */
    entry: p.blob(),
  },
});

export const entities = [
  LeaseEntity,
  TurnEntity,
  MessageEntity,
  EventBatchEntity,
  ModelAttemptEntity,
  ToolRunEntity,
  OutboxEntity,
];
