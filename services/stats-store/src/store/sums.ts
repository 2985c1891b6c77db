import { create } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import type { RawBuilder } from 'kysely';
import { TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { CostSumSchema, GroupBy, TokenSumSchema } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { CostSum, TokenSum } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { Transaction } from '@agentx/service-kit';
import * as errors from './errors.ts';
import { MAX_GROUPS } from './store.ts';
import type { Totals, TurnSelection } from './store.ts';

/** Sums come as text: as numbers they would lose digits beyond 2^53. Null: there was nothing to sum. */
type Sum = string | null;

interface Group {
  readonly key: string | number;
  readonly turns: number;
}

interface CostGroup extends Group {
  readonly cost: Sum;
  readonly unpriced: number;
}

interface TokenGroup extends Group {
  readonly input: Sum;
  readonly output: Sum;
  readonly cache_read: Sum;
  readonly cache_write_5m: Sum;
  readonly cache_write_1h: Sum;
  readonly server_tool_requests: Sum;
}

const dayMs = 86_400_000;

const keys: Readonly<Record<GroupBy, RawBuilder<unknown>>> = {
  [GroupBy.UNSPECIFIED]: sql`''`,
  [GroupBy.AGENT]: sql`agent_id`,
  [GroupBy.TURN]: sql`turn_id`,
  [GroupBy.MODEL]: sql`model`,
  [GroupBy.DAY]: sql`end_time_ms / ${sql.lit(dayMs)}`,
};

export async function sumCost(
  tx: Transaction,
  tenantId: string,
  selection: TurnSelection,
  groupBy: GroupBy,
): Promise<Totals<CostSum>> {
  const columns = sql`cast(sum(cost_micro_usd) as text) as cost, count(*) - count(cost_micro_usd) as unpriced`;
  const rows = await selectGroups<CostGroup>(tx, tenantId, selection, groupBy, columns);
  const groups = rows.map((row) =>
    create(CostSumSchema, {
      key: keyText(row.key, groupBy),
      turns: BigInt(row.turns),
      costMicroUsd: toBigInt(row.cost),
      unpricedTurns: BigInt(row.unpriced),
    }),
  );
  const total = create(CostSumSchema, {
    turns: add(groups, (group) => group.turns),
    costMicroUsd: add(groups, (group) => group.costMicroUsd ?? 0n),
    unpricedTurns: add(groups, (group) => group.unpricedTurns),
  });
  return { total, groups: listed(groups, groupBy) };
}

export async function sumTokens(
  tx: Transaction,
  tenantId: string,
  selection: TurnSelection,
  groupBy: GroupBy,
): Promise<Totals<TokenSum>> {
  const columns = sql`
    cast(sum(input_tokens) as text) as input, cast(sum(output_tokens) as text) as output,
    cast(sum(cache_read_tokens) as text) as cache_read,
    cast(sum(cache_write_5m_tokens) as text) as cache_write_5m,
    cast(sum(cache_write_1h_tokens) as text) as cache_write_1h,
    cast(sum(server_tool_requests) as text) as server_tool_requests`;
  const rows = await selectGroups<TokenGroup>(tx, tenantId, selection, groupBy, columns);
  const groups = rows.map((row) =>
    create(TokenSumSchema, {
      key: keyText(row.key, groupBy),
      turns: BigInt(row.turns),
      usage: create(TokenUsageSchema, {
        inputTokens: toBigInt(row.input),
        outputTokens: toBigInt(row.output),
        cacheReadTokens: toBigInt(row.cache_read),
        cacheWrite5mTokens: toBigInt(row.cache_write_5m),
        cacheWrite1hTokens: toBigInt(row.cache_write_1h),
        serverToolRequests: toBigInt(row.server_tool_requests),
      }),
    }),
  );
  const total = create(TokenSumSchema, {
    turns: add(groups, (group) => group.turns),
    usage: addUsage(groups),
  });
  return { total, groups: listed(groups, groupBy) };
}

async function selectGroups<G extends Group>(
  tx: Transaction,
  tenantId: string,
  selection: TurnSelection,
  groupBy: GroupBy,
  columns: RawBuilder<unknown>,
): Promise<G[]> {
  const grouping = groupBy === GroupBy.UNSPECIFIED ? sql`` : sql`group by 1 limit ${sql.lit(MAX_GROUPS + 1)}`;
  const rows = await tx.rows(
    sql<G>`select ${keys[groupBy]} as key, count(*) as turns, ${columns} from ${tx.table('counted_turn')}
        where ${selected(tenantId, selection)} ${grouping}`,
  );
  if (rows.length > MAX_GROUPS) throw errors.tooManyGroups(MAX_GROUPS);
  return rows;
}

function selected(tenantId: string, selection: TurnSelection): RawBuilder<unknown> {
  const { agentId, turnId, model, fromMs, beforeMs } = selection;
  const conditions = [sql`tenant_id = ${tenantId}`];
  if (agentId !== undefined) conditions.push(sql`agent_id = ${agentId}`);
  if (turnId !== undefined) conditions.push(sql`turn_id = ${turnId}`);
  if (model !== undefined) conditions.push(sql`model = ${model}`);
  if (fromMs !== undefined) conditions.push(sql`end_time_ms >= ${fromMs}`);
  if (beforeMs !== undefined) conditions.push(sql`end_time_ms < ${beforeMs}`);
  return sql.join(conditions, sql` and `);
}

function keyText(key: string | number, groupBy: GroupBy): string {
  return groupBy === GroupBy.DAY ? new Date(Number(key) * dayMs).toISOString().slice(0, 10) : String(key);
}

/** Sorted here: databases order text by rules of their own. */
function listed<T extends { readonly key: string }>(groups: readonly T[], groupBy: GroupBy): T[] {
  if (groupBy === GroupBy.UNSPECIFIED) return [];
  return groups.toSorted((a, b) => (a.key < b.key ? -1 : 1));
}

function toBigInt(sum: Sum): bigint {
  return BigInt(sum ?? 0);
}

function add<T>(groups: readonly T[], figure: (group: T) => bigint): bigint {
  return groups.reduce((sum, group) => sum + figure(group), 0n);
}

function addUsage(groups: readonly TokenSum[]): TokenUsage {
  const sum = (figure: (usage: TokenUsage) => bigint) =>
    add(groups, ({ usage }) => (usage ? figure(usage) : 0n));
  return create(TokenUsageSchema, {
    inputTokens: sum((usage) => usage.inputTokens),
    outputTokens: sum((usage) => usage.outputTokens),
    cacheReadTokens: sum((usage) => usage.cacheReadTokens),
    cacheWrite5mTokens: sum((usage) => usage.cacheWrite5mTokens),
    cacheWrite1hTokens: sum((usage) => usage.cacheWrite1hTokens),
    serverToolRequests: sum((usage) => usage.serverToolRequests),
  });
}
