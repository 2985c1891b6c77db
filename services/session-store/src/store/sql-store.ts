import { sql } from 'kysely';
import type { Database, Logger } from '@agentx/service-kit';
import type { AppendEventsRequest, LeaseStatus } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { EventBatch, LeaseRef } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { acquireLease } from './acquire-lease.ts';
import { beginTurn } from './begin-turn.ts';
import { appendEvents, commitStep } from './commit-step.ts';
import { ackOutbox, endTurn } from './end-turn.ts';
import * as errors from './errors.ts';
import { checkBatch, fencedAppend, leaseStatus, releaseLease, renewLease } from './lease.ts';
import { addMessage, clearMessages, getMessages } from './messages.ts';
import { toTurnRecord, ttlMs } from './rows.ts';
import { createLogSignals } from './signals.ts';
import type { SessionStore } from './store.ts';
import { tailEvents } from './tail.ts';
import { listSteps, listTurns, requireTurn } from './turns.ts';
import { createWorkWatcher } from './work.ts';

/** How often followers read the log where other processes may write it too. */
const POLL_MS = 200;

export interface SqlSessionStoreOptions {
  readonly log: Logger;
}

export interface SqlSessionStore extends SessionStore {
  /**
   * Lets all leases expire at once. Only for a process that holds the database alone and runs the engine itself: then
   * every former holder is known to be dead.
   */
  expireAllLeases(): Promise<void>;
  close(): void;
}

/** SessionStore on SQLite or PostgreSQL. */
export function createSessionStore(database: Database, options: SqlSessionStoreOptions): SqlSessionStore {
  const signals = createLogSignals();
  const work = createWorkWatcher(database, options.log);
  const tail = { pollMs: database.dialect === 'sqlite' ? undefined : POLL_MS };

  return {
    getMessages: (tenantId, range) => database.read({ tenantId }, (tx) => getMessages(tx, tenantId, range)),
    addMessage: async (tenantId, request) => {
      const message = await database.transaction({ tenantId }, (tx) => addMessage(tx, tenantId, request));
      signals.notify(tenantId, request.agentId);
      return message;
    },
    clearMessages: (tenantId, agentId) =>
      database.transaction({ tenantId }, (tx) => clearMessages(tx, tenantId, agentId)),

    beginTurn: async (tenantId, request) => {
      const response = await database.transaction({ tenantId }, (tx) => beginTurn(tx, tenantId, request));
      if (response.outcome.case === 'begun') work.expectWithin(ttlMs(request.leaseTtl));
      signals.notify(tenantId, request.agentId);
      return response;
    },
    acquireLease: async (tenantId, request) => {
      const response = await database.transaction({ tenantId }, (tx) => acquireLease(tx, tenantId, request));
      work.expectWithin(ttlMs(request.leaseTtl));
      return response;
    },
    renewLease: (tenantId, request) => {
      const lease = required(request.lease);
      return database.transaction({ tenantId }, (tx) => renewLease(tx, tenantId, request, lease));
    },
    releaseLease: async (tenantId, lease) => {
      const released = await database.transaction({ tenantId }, (tx) => releaseLease(tx, tenantId, lease));
      if (released) work.expectWithin(0);
      return released;
    },
    commitStep: async (tenantId, request) => {
      const { lease, batch } = writeOf(request);
      const status = await database.transaction({ tenantId }, (tx) =>
        commitStep(tx, tenantId, request, lease, batch),
      );
      signals.notify(tenantId, lease.agentId);
      return status;
    },
    appendEvents: async (tenantId, request) => {
      const { lease, batch } = writeOf(request);
      const status = await append(database, tenantId, request, lease, batch);
      signals.notify(tenantId, lease.agentId);
      return status;
    },
    endTurn: async (tenantId, request) => {
      const { lease, batch } = writeOf(request);
      const response = await database.transaction({ tenantId }, (tx) =>
        endTurn(tx, tenantId, request, lease, batch),
      );
      work.expectOutbox();
      signals.notify(tenantId, lease.agentId);
      return response;
    },

    tailEvents: (tenantId, request, signal) => tailEvents(database, signals, tail, tenantId, request, signal),
    watchWork: (signal) => work.watch(signal),
    ackOutbox: (tenantId, outboxIds) =>
      database.transaction({ tenantId }, (tx) => ackOutbox(tx, tenantId, outboxIds)),

    getTurn: async (tenantId, agentId, turnId) =>
      toTurnRecord(
        tenantId,
        await database.read({ tenantId }, (tx) => requireTurn(tx, tenantId, agentId, turnId)),
      ),
    listTurns: (tenantId, agentId, after, limit) =>
      database.read({ tenantId }, (tx) => listTurns(tx, tenantId, agentId, after, limit)),
    listSteps: (tenantId, agentId, turnId) =>
      database.read({ tenantId }, (tx) => listSteps(tx, tenantId, agentId, turnId)),

    expireAllLeases: () =>
      database.transaction({ sweeper: true }, async (tx) => {
        await tx.rows(sql`update ${tx.table('lease')} set expires_at_ms = 0 where turn_id <> ''`);
      }),
    close: () => {
      work.close();
    },
  };
}

/** Deltas are most of all writes: on PostgreSQL they take one round trip. */
async function append(
  database: Database,
  tenantId: string,
  request: AppendEventsRequest,
  lease: LeaseRef,
  batch: EventBatch,
): Promise<LeaseStatus> {
  if (database.dialect === 'postgresql') {
    checkBatch(batch, false);
    const [row] = await database.statement({ tenantId }, (tx) =>
      fencedAppend(tx, tenantId, lease, batch, ttlMs(request.leaseTtl)),
    );
    if (row !== undefined) return leaseStatus(row);
  }
  return database.transaction({ tenantId }, (tx) => appendEvents(tx, tenantId, request, lease, batch));
}

function required(lease: LeaseRef | undefined): LeaseRef {
  if (lease === undefined)
    throw errors.invalid('lease', 'is missing', 'send the lease that the write is made under');
  return lease;
}

function writeOf(request: {
  readonly lease?: LeaseRef | undefined;
  readonly batch?: EventBatch | undefined;
}) {
  if (request.batch === undefined)
    throw errors.invalid('batch', 'is missing', 'send the events of the write');
  return { lease: required(request.lease), batch: request.batch };
}
