/** Translation between the contract's messages and the rows of the table. */
import { create, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { TokenUsageSchema, TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TurnStats } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import * as errors from './errors.ts';

export function toRow(tenantId: string, stats: TurnStats) {
  const { turnId, agentId, model } = stats;
  const cost = stats.costMicroUsd;
  return {
    tenantId,
    turnId,
    agentId,
    model,
    endTimeMs: endTimeMs(stats),
    costMicroUsd: cost === undefined ? null : checked('stats.cost_micro_usd', cost),
    ...usageFigures(stats.usage),
    stats: toJsonString(TurnStatsSchema, stats),
  };
}

export function toStats(row: { readonly stats: string }): TurnStats {
  // A newer server may have written fields that this one does not know.
  return fromJsonString(TurnStatsSchema, row.stats, { ignoreUnknownFields: true });
}

function usageFigures(usage = create(TokenUsageSchema)) {
  return {
    inputTokens: checked('stats.usage.input_tokens', usage.inputTokens),
    outputTokens: checked('stats.usage.output_tokens', usage.outputTokens),
    cacheReadTokens: checked('stats.usage.cache_read_tokens', usage.cacheReadTokens),
    cacheWrite5mTokens: checked('stats.usage.cache_write_5m_tokens', usage.cacheWrite5mTokens),
    cacheWrite1hTokens: checked('stats.usage.cache_write_1h_tokens', usage.cacheWrite1hTokens),
    serverToolRequests: checked('stats.usage.server_tool_requests', usage.serverToolRequests),
  };
}

function endTimeMs({ endTime }: TurnStats): number {
  const ms = endTime === undefined ? -1 : timestampMs(endTime);
  if (ms < 0) throw errors.invalid('stats.end_time', 'is missing or before 1970', 'send when the turn ended');
  return ms;
}

/** Databases sum in 64 bits: with figures of this size no sum of a tenant reaches that. */
function checked(field: string, figure: bigint): bigint {
  if (figure > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw errors.invalid(field, `is ${figure}, beyond 2^53 - 1`, 'no turn uses so much');
  }
  return figure;
}
