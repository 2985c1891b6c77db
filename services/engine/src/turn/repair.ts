import { AttemptStatus, ToolRunStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import type { ModelAttempt, Step } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { DEFAULT_PAGE_SIZE } from '@agentx/service-kit';
import type { TurnContext } from './context.ts';
import { readMessages } from './read-messages.ts';
import { finish, lost } from './run-turn.ts';
import type { AttemptCost } from './usage.ts';

/**
 * Ends a turn whose engine died: its history is mended so that it can be sent, and the user is told. Never rejects.
 *
 * @returns 'lost' when the turn is no longer this engine's.
 */
export async function endOrphan(context: TurnContext, steps: readonly Step[]): Promise<'ended' | 'lost'> {
  const { tally } = context;
  try {
    const parentId = await findLastAnswer(context);
    for (const { kind } of steps) {
      if (kind.case === 'modelAttempt') tally.attempts.push(costOf(context, kind.value));
      if (kind.case !== 'toolRun') continue;
      const { toolCallId, name, status } = kind.value;
      const started = status === ToolRunStatus.STARTED;
      if (status === ToolRunStatus.FINISHED) tally.toolCalls += 1;
      else tally.openCalls.set(toolCallId, { toolCallId, name, parentId, started });
    }
  } catch (error) {
    return lost(context, error);
  }
  return finish(context, {
    stopReason: StopReason.ERROR,
    error: {
      reason: 'ENGINE_LOST',
      message:
        'the engine that ran this turn stopped before its end: what was committed is kept; send a new message to go on',
      recoverable: true,
    },
  });
}

/** Priced when it was made; the table is taken to be the same as here. */
function costOf({ parts }: TurnContext, attempt: ModelAttempt): AttemptCost {
  const { status, model, usage, costMicroUsd } = attempt;
  const price = usage && costMicroUsd !== undefined ? parts.priceUsage(model, usage) : undefined;
  return {
    usage,
    costMicroUsd: usage === undefined ? 0n : costMicroUsd,
    priceTableVersion: price?.priceTableVersion ?? '',
    wasted: status !== AttemptStatus.COMMITTED,
    estimated: status === AttemptStatus.ABANDONED || status === AttemptStatus.STARTED,
  };
}

/** Id of the turn's last answer: only its calls may lack results, since no model is called before all are there. */
async function findLastAnswer(context: TurnContext): Promise<string> {
  const { turnId } = context;
  // The end of a history is all that is needed of it, most often.
  for await (const message of readMessages(context, { newestFirst: true, pageSize: DEFAULT_PAGE_SIZE })) {
    if (message.turnId !== turnId) return '';
    if (message.body.case === 'assistant') return message.messageId;
  }
  return '';
}
