import { create } from '@bufbuild/protobuf';
import { UsageGroupBy, UsageSumSchema } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { EngineService, UsageSum } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { GroupBy } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { CostSum, TokenSum } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { Handler } from '@agentx/service-kit';
import { requireAgent } from '../agents.ts';
import type { Engine } from '../engine.ts';
import { actingFor } from '../stores.ts';

const GROUPS: Record<number, GroupBy> = {
  [UsageGroupBy.AGENT]: GroupBy.AGENT,
  [UsageGroupBy.TURN]: GroupBy.TURN,
  [UsageGroupBy.MODEL]: GroupBy.MODEL,
  [UsageGroupBy.DAY]: GroupBy.DAY,
};

export const getUsage =
  (engine: Engine): Handler<typeof EngineService.method.getUsage> =>
  async ({ agentId, startTime, endTime, groupBy }, { identity, signal }) => {
    const { stores } = engine.options.parts;
    if (agentId !== '') await requireAgent(stores, identity.tenantId, agentId);
    const request = {
      filter: { agentId, ...(startTime && { startTime }), ...(endTime && { endTime }) },
      groupBy: GROUPS[groupBy] ?? GroupBy.UNSPECIFIED,
    };
    const options = actingFor(identity.tenantId, { signal });
    const [cost, tokens] = await Promise.all([
      stores.stats.getTotalCost(request, options),
      stores.stats.getTotalTokens(request, options),
    ]);
    const tokensOf = new Map(tokens.groups.map((group) => [group.key, group]));
    return {
      total: join(cost.total, tokens.total),
      groups: cost.groups.map((group) => join(group, tokensOf.get(group.key))),
    };
  };

/** A turn that was counted between the two calls shows in one of them only; the next call has both. */
function join(cost: CostSum | undefined, tokens: TokenSum | undefined): UsageSum {
  return create(UsageSumSchema, {
    key: cost?.key ?? '',
    turns: cost?.turns ?? 0n,
    ...(tokens?.usage && { usage: tokens.usage }),
    ...(cost?.costMicroUsd !== undefined && { costMicroUsd: cost.costMicroUsd }),
    unpricedTurns: cost?.unpricedTurns ?? 0n,
  });
}
