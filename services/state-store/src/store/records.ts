import { raw } from '@mikro-orm/core';
import type { RawQueryFragment } from '@mikro-orm/core';
import { sql } from 'kysely';
import type { AgentRecord } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { UniqueViolationError } from '@agentx/service-kit';
import type { Database, Transaction } from '@agentx/service-kit';
import { AgentRecordEntity, AgentStateEntity } from './entities.ts';
import * as errors from './errors.ts';
import { toColumns, toRecord } from './rows.ts';

const nextRevision: RawQueryFragment = raw('revision + 1');

export async function createAgentRecord(
  database: Database,
  tenantId: string,
  record: AgentRecord,
): Promise<AgentRecord> {
  const { agentId } = record;
  try {
    return await database.transaction({ tenantId }, async (tx) => {
      const now = await clockMs(tx);
      const key = { tenantId, agentId, revision: 1n, createTimeMs: now, updateTimeMs: now };
      return toRecord(tx.em.create(AgentRecordEntity, { ...key, ...toColumns(record) }));
    });
  } catch (error) {
    throw error instanceof UniqueViolationError ? errors.agentExists(agentId) : error;
  }
}

export async function getAgentRecord(
  tx: Transaction,
  tenantId: string,
  agentId: string,
): Promise<AgentRecord> {
  const row = await tx.em.findOne(AgentRecordEntity, { tenantId, agentId });
  if (row === null) throw errors.agentNotFound(agentId);
  return toRecord(row);
}

export async function listAgentRecords(
  tx: Transaction,
  tenantId: string,
  afterAgentId: string | undefined,
  limit: number,
): Promise<AgentRecord[]> {
  const after = afterAgentId === undefined ? {} : { agentId: { $gt: afterAgentId } };
  const rows = await tx.em.find(
    AgentRecordEntity,
    { tenantId, ...after },
    { orderBy: { agentId: 'asc' }, limit },
  );
  return rows.map(toRecord);
}

export async function updateAgentRecord(
  tx: Transaction,
  tenantId: string,
  record: AgentRecord,
  ifRevision: bigint,
): Promise<AgentRecord> {
  const { agentId } = record;
  // The statement itself compares the revision: a change that comes in between makes it find nothing.
  const changed = await tx.em.nativeUpdate(AgentRecordEntity, atRevision(tenantId, agentId, ifRevision), {
    ...toColumns(record),
    revision: nextRevision,
    updateTimeMs: await clockMs(tx),
  });
  const stored = await getAgentRecord(tx, tenantId, agentId);
  if (changed === 0) throw errors.revisionConflict(agentId, ifRevision, stored.revision);
  return stored;
}

export async function deleteAgentRecord(
  tx: Transaction,
  tenantId: string,
  agentId: string,
  ifRevision: bigint,
): Promise<boolean> {
  const deleted = await tx.em.nativeDelete(AgentRecordEntity, atRevision(tenantId, agentId, ifRevision));
  if (deleted === 0) {
    const stored = await tx.em.findOne(AgentRecordEntity, { tenantId, agentId });
    if (stored !== null) throw errors.revisionConflict(agentId, ifRevision, stored.revision);
  }
  await tx.em.nativeDelete(AgentStateEntity, { tenantId, agentId });
  return deleted > 0;
}

/** The record's key; with the revision unless it is 0, which means whatever is stored. */
function atRevision(tenantId: string, agentId: string, revision: bigint) {
  return { tenantId, agentId, ...(revision === 0n ? {} : { revision }) };
}

async function clockMs(tx: Transaction): Promise<number> {
  const [row] = await tx.rows(sql<{ now: number }>`select ${tx.nowMs} as now`);
  if (row === undefined) throw new Error('the database told no time');
  return row.now;
}
