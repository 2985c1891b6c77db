import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import { AgentStateSchema, AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { ErrorMessageSchema, ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { ErrorMessage, Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StopReason, TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TurnStats } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { AssistantCommittedSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { AssistantCommitted, OutboxEntry } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { Answered } from './call-model.ts';
import { persist } from './context.ts';
import type { TurnContext } from './context.ts';
import { assistantBody, closingResult } from './messages.ts';
import { OUTSIDE_STEPS } from './payload.ts';
import type { Payload } from './payload.ts';
import { sumUsage } from './usage.ts';

/** How a turn ends. */
export interface TurnEnding {
  readonly stopReason: StopReason;
  /** The final answer, when it is not committed yet. */
  readonly answered?: Answered;
  /** What went wrong, where stopReason is ERROR. */
  readonly error?: { readonly reason: string; readonly message: string; readonly recoverable: boolean };
}

/** Commit point C6: the last messages and the turn's end. Every tool call that lacks a result gets one. */
export async function endTurn(context: TurnContext, ending: TurnEnding): Promise<OutboxEntry | undefined> {
  const { lease, parts, turnLog, agentId, turnId } = context;
  const { stopReason } = ending;
  const finalAnswer = ending.answered && finalAnswerOf(context, ending.answered);
  const error = ending.error && create(ErrorMessageSchema, ending.error);
  const closing = closingResults(context);
  const errorMessage = error && context.messages.make({ case: 'error', value: error });
  const messages = [...closing.map(({ message }) => message), ...(errorMessage ? [errorMessage] : [])];
  const stats = statsOf(context, stopReason);
  const payloads: Payload[] = [
    ...(finalAnswer?.message ? [{ case: 'message', value: finalAnswer.message } as const] : []),
    ...closing.flatMap(({ payloads }) => payloads),
    ...(errorMessage ? [{ case: 'message', value: errorMessage } as const] : []),
    turnEnded(stats, error),
  ];
  const response = await turnLog.commit(payloads, ending.answered?.place ?? OUTSIDE_STEPS, (batch) => {
    batch.endsTurn = true;
    const state = create(AgentStateSchema, {
      agentId,
      turnId,
      status: stopReason === StopReason.ERROR ? AgentStatus.ERROR : AgentStatus.IDLE,
      epoch: lease.epoch,
      seq: batch.lastSeq,
    });
    return persist(context, (options) =>
      parts.stores.session.endTurn(
        {
          lease,
          batch,
          messages,
          stopReason,
          stats,
          state,
          ...(finalAnswer && { finalAnswer }),
          ...(error && { error }),
        },
        options,
      ),
    );
  });
  return response.outbox;
}

function finalAnswerOf(context: TurnContext, { answer, place, costMicroUsd }: Answered): AssistantCommitted {
  const message = context.messages.make(assistantBody(answer));
  trackCalls(context, message);
  return create(AssistantCommittedSchema, {
    ...place,
    message,
    ...(costMicroUsd !== undefined && { costMicroUsd }),
  });
}

/** From here on each tool call of the answer owes a result. */
export function trackCalls(context: TurnContext, message: Message): void {
  if (message.body.case !== 'assistant') return;
  for (const { part } of message.body.value.content) {
    if (part.case !== 'toolUse') continue;
    const { toolCallId, name } = part.value;
    context.tally.openCalls.set(toolCallId, {
      toolCallId,
      name,
      parentId: message.messageId,
      started: false,
    });
  }
}

/** A result for each call that has none, and what readers are told of it. */
function closingResults(context: TurnContext): { message: Message; payloads: Payload[] }[] {
  const { openCalls } = context.tally;
  return [...openCalls.values()].map((call) => {
    const { toolCallId, name, started, parentId } = call;
    const message = context.messages.make(closingResult(call, started ? 'unknown' : 'never_ran'), parentId);
    const failed = { toolCallId, name, outcome: ToolOutcome.UNKNOWN };
    return {
      message,
      payloads: [
        ...(started ? [{ case: 'toolFailed', value: failed } as const] : []),
        { case: 'message', value: message },
      ],
    };
  });
}

function statsOf(context: TurnContext, stopReason: StopReason): TurnStats {
  const { tally, agentId, turnId, record } = context;
  const sum = sumUsage(tally.attempts);
  return create(TurnStatsSchema, {
    turnId,
    agentId,
    model: tally.model === '' ? (record.config?.model ?? '') : tally.model,
    usage: sum.usage,
    ...(sum.costMicroUsd !== undefined && { costMicroUsd: sum.costMicroUsd }),
    priceTableVersion: sum.priceTableVersion,
    durationMs: BigInt(Math.round(performance.now() - tally.startMs)),
    ...(tally.ttftMs !== undefined && { ttftMs: BigInt(Math.round(tally.ttftMs)) }),
    toolCalls: tally.toolCalls,
    stopReason,
    endTime: timestampNow(),
    modelAttempts: sum.attempts,
    ...(sum.wasted && { wastedUsage: sum.wasted }),
    estimated: sum.estimated,
  });
}

function turnEnded(stats: TurnStats, error: ErrorMessage | undefined): Payload {
  const { stopReason, usage, costMicroUsd, durationMs } = stats;
  return {
    case: 'turnEnded',
    value: {
      stopReason,
      ...(usage && { usage }),
      ...(costMicroUsd !== undefined && { costMicroUsd }),
      durationMs,
      reason: error?.reason ?? '',
      message: error?.message ?? '',
    },
  };
}
