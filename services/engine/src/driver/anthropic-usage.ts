import { create } from '@bufbuild/protobuf';
import type {
  MessageDeltaUsage,
  StopReason as WireStopReason,
  Usage,
} from '@anthropic-ai/sdk/resources/messages/messages';
import { StopReason, TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';

type WireUsage = Partial<Usage> | Partial<MessageDeltaUsage>;

/** The usage after one more report. Reports are cumulative; what one leaves out stays as it was. */
export function addReport(known: TokenUsage, report: WireUsage | null | undefined): TokenUsage {
  if (!report) return known;
  const writes = readCacheWrites(known, report);
  return create(TokenUsageSchema, {
    inputTokens: count(report.input_tokens, known.inputTokens),
    outputTokens: count(report.output_tokens, known.outputTokens),
    cacheReadTokens: count(report.cache_read_input_tokens, known.cacheReadTokens),
    cacheWrite5mTokens: writes.for5m,
    cacheWrite1hTokens: writes.for1h,
    serverToolRequests: readServerToolRequests(report, known.serverToolRequests),
  });
}

/** Only the first report splits the writes by duration; what a later total has on top went where the driver writes: 5 m. */
function readCacheWrites(known: TokenUsage, report: WireUsage): { for5m: bigint; for1h: bigint } {
  const split = 'cache_creation' in report ? report.cache_creation : undefined;
  const for1h = count(split?.ephemeral_1h_input_tokens, known.cacheWrite1hTokens);
  const for5m = count(split?.ephemeral_5m_input_tokens, known.cacheWrite5mTokens);
  const total = count(report.cache_creation_input_tokens, for5m + for1h);
  return { for5m: total > for5m + for1h ? total - for1h : for5m, for1h };
}

function readServerToolRequests(report: WireUsage, known: bigint): bigint {
  if (!report.server_tool_use) return known;
  const counts: unknown[] = Object.values(report.server_tool_use);
  return counts.reduce<bigint>((sum, value) => sum + count(value, 0n), 0n);
}

/** Servers that are only compatible may leave counts out, or send null. */
function count(value: unknown, otherwise: bigint): bigint {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? BigInt(value) : otherwise;
}

const STOP_REASONS: Readonly<Record<WireStopReason, StopReason>> = {
  end_turn: StopReason.END_TURN,
  max_tokens: StopReason.MAX_TOKENS,
  // The answer is cut all the same, by the window instead of the request's limit.
  model_context_window_exceeded: StopReason.MAX_TOKENS,
  stop_sequence: StopReason.STOP_SEQUENCE,
  tool_use: StopReason.TOOL_USE,
  // A tool of the provider's goes on when it is called again.
  pause_turn: StopReason.TOOL_USE,
  refusal: StopReason.REFUSAL,
};

export function readStopReason(reason: string | null | undefined): StopReason {
  return Object.hasOwn(STOP_REASONS, reason ?? '')
    ? STOP_REASONS[reason as WireStopReason]
    : StopReason.UNSPECIFIED;
}
