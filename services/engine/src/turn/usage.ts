import { create } from '@bufbuild/protobuf';
import { TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';

/** What one model call came to. */
export interface AttemptCost {
  readonly usage: TokenUsage | undefined;
  /** Undefined: the model has no known price. */
  readonly costMicroUsd: bigint | undefined;
  readonly priceTableVersion: string;
  /** True when its answer was thrown away. */
  readonly wasted: boolean;
  /** True when the call was cut off, so that what is known of its usage is less than what it came to. */
  readonly estimated: boolean;
}

/** What the model calls of a turn came to. */
export interface UsageSum {
  readonly attempts: number;
  readonly usage: TokenUsage;
  readonly wasted: TokenUsage | undefined;
  /** As far as usage is known. Undefined as soon as one of them has no known price: unpriced is not free. */
  readonly costMicroUsd: bigint | undefined;
  readonly priceTableVersion: string;
  readonly estimated: boolean;
}

export function sumUsage(attempts: readonly AttemptCost[]): UsageSum {
  const wasted = attempts.filter((attempt) => attempt.wasted && attempt.usage !== undefined);
  // A call of which nothing is known says nothing about prices either.
  const known = attempts.filter((attempt) => attempt.usage !== undefined || !attempt.estimated);
  const priced = known.length > 0 && known.every((attempt) => attempt.costMicroUsd !== undefined);
  return {
    attempts: attempts.length,
    usage: addAll(attempts),
    wasted: wasted.length === 0 ? undefined : addAll(wasted),
    costMicroUsd: priced
      ? known.reduce((total, { costMicroUsd }) => total + (costMicroUsd ?? 0n), 0n)
      : undefined,
    priceTableVersion: priced ? (known.findLast(isVersioned)?.priceTableVersion ?? '') : '',
    estimated: attempts.some((attempt) => attempt.estimated),
  };
}

/** Calls that failed before they used anything were never looked up in a price table. */
const isVersioned = ({ priceTableVersion }: AttemptCost) => priceTableVersion !== '';

function addAll(attempts: readonly AttemptCost[]): TokenUsage {
  const sum = create(TokenUsageSchema);
  for (const { usage } of attempts) {
    if (usage === undefined) continue;
    sum.inputTokens += usage.inputTokens;
    sum.outputTokens += usage.outputTokens;
    sum.cacheReadTokens += usage.cacheReadTokens;
    sum.cacheWrite5mTokens += usage.cacheWrite5mTokens;
    sum.cacheWrite1hTokens += usage.cacheWrite1hTokens;
    sum.serverToolRequests += usage.serverToolRequests;
  }
  return sum;
}
