import { equals } from '@bufbuild/protobuf';
import { TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TurnStats } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { UniqueViolationError } from '@agentx/service-kit';
import type { Database, Transaction } from '@agentx/service-kit';
import { CountedTurnEntity } from './entities.ts';
import * as errors from './errors.ts';
import { toRow, toStats } from './rows.ts';
import type { StatsStore, TurnPlace, TurnSelection } from './store.ts';
import { sumCost, sumTokens } from './sums.ts';

/** StatsStore on SQLite or PostgreSQL. */
export function createStatsStore(database: Database): StatsStore {
  return {
    addTurn: async (tenantId, stats) => {
      const row = toRow(tenantId, stats);
      try {
        await database.transaction({ tenantId }, (tx) =>
          Promise.resolve(void tx.em.create(CountedTurnEntity, row)),
        );
        return true;
      } catch (error) {
        if (!(error instanceof UniqueViolationError)) throw error;
      }
      const counted = await database.read({ tenantId }, (tx) => getTurn(tx, tenantId, stats.turnId));
      if (!equals(TurnStatsSchema, counted, stats)) throw errors.turnStatsConflict(stats.turnId);
      return false;
    },
    getTotalCost: (tenantId, selection, groupBy) =>
      database.read({ tenantId }, (tx) => sumCost(tx, tenantId, selection, groupBy)),
    getTotalTokens: (tenantId, selection, groupBy) =>
      database.read({ tenantId }, (tx) => sumTokens(tx, tenantId, selection, groupBy)),
    listTurnStats: (tenantId, selection, after, limit) =>
      database.read({ tenantId }, (tx) => listTurns(tx, tenantId, selection, after, limit)),
  };
}

async function getTurn(tx: Transaction, tenantId: string, turnId: string): Promise<TurnStats> {
  return toStats(await tx.em.findOneOrFail(CountedTurnEntity, { tenantId, turnId }));
}

async function listTurns(
  tx: Transaction,
  tenantId: string,
  { agentId, turnId, model, fromMs, beforeMs }: TurnSelection,
  after: TurnPlace | undefined,
  limit: number,
): Promise<TurnStats[]> {
  const conditions = [
    { tenantId },
    ...(agentId === undefined ? [] : [{ agentId }]),
    ...(turnId === undefined ? [] : [{ turnId }]),
    ...(model === undefined ? [] : [{ model }]),
    ...(fromMs === undefined ? [] : [{ endTimeMs: { $gte: fromMs } }]),
    ...(beforeMs === undefined ? [] : [{ endTimeMs: { $lt: beforeMs } }]),
    ...(after === undefined ? [] : [beyond(after)]),
  ];
  const order = { endTimeMs: 'desc', turnId: 'desc' } as const;
  const turns = await tx.em.find(CountedTurnEntity, { $and: conditions }, { orderBy: order, limit });
  return turns.map(toStats);
}

const beyond = ({ endTimeMs, turnId }: TurnPlace) => ({
  $or: [{ endTimeMs: { $lt: endTimeMs } }, { endTimeMs, turnId: { $lt: turnId } }],
});
