import type { TurnStats } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { CostSum, GroupBy, TokenSum } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';

/** Which turns to count. Undefined fields select everything. Times are milliseconds since the epoch. */
export interface TurnSelection {
  readonly agentId?: string | undefined;
  readonly turnId?: string | undefined;
  readonly model?: string | undefined;
  /** Only turns that ended then or later. */
  readonly fromMs?: number | undefined;
  /** Only turns that ended earlier. */
  readonly beforeMs?: number | undefined;
}

/** Where a page begins: the last turn of the page before. */
export interface TurnPlace {
  readonly endTimeMs: number;
  readonly turnId: string;
}

export interface Totals<T> {
  readonly total: T;
  /** Ordered by key. Empty where nothing was to group by. */
  readonly groups: T[];
}

/** More groups than this fail with RESOURCE_EXHAUSTED `TOO_MANY_GROUPS`. */
export const MAX_GROUPS = 10_000;

/**
 * What turns used and cost.
 *
 * The contract, for every adapter:
 * - A tenant sees and counts its own turns only; turn ids of two tenants may be the same.
 * - Sums are exact, whatever their size.
 * - A promise of a write that fulfils means committed and durable, one that rejects that nothing was written, except
 *   `DATABASE_UNAVAILABLE`, after which the caller repeats the write.
 */
export interface StatsStore {
  /**
   * True when the turn is counted from now on, false when it was counted before with the same figures. Fails with
   * ALREADY_EXISTS `TURN_STATS_CONFLICT` when it was counted with others, and with INVALID_ARGUMENT `INVALID_REQUEST` for
   * a figure beyond 2^53 - 1 or a turn that ended before 1970.
   */
  addTurn(tenantId: string, stats: TurnStats): Promise<boolean>;
  getTotalCost(tenantId: string, selection: TurnSelection, groupBy: GroupBy): Promise<Totals<CostSum>>;
  getTotalTokens(tenantId: string, selection: TurnSelection, groupBy: GroupBy): Promise<Totals<TokenSum>>;
  /** The last ended first (of the same millisecond the greater turn_id), after a place. */
  listTurnStats(
    tenantId: string,
    selection: TurnSelection,
    after: TurnPlace | undefined,
    limit: number,
  ): Promise<TurnStats[]>;
}
