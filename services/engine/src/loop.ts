import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { Message, ToolUsePart } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { callModel } from './turn/call-model.ts';
import type { Answered } from './turn/call-model.ts';
import { commit } from './turn/commit.ts';
import type { TurnContext } from './turn/context.ts';
import { trackCalls } from './turn/end-turn.ts';
import type { TurnEnding } from './turn/end-turn.ts';
import { assistantBody } from './turn/messages.ts';
import { runTool } from './turn/run-tool.ts';

const DEFAULT_ITERATIONS = 50;

/**
 * The loop of a turn: the model, its tools, the model again … until an answer that asks for nothing, or a limit. It keeps
 * nothing besides its context; every step is committed before the next.
 *
 * @returns how the turn ends; the caller commits the end.
 */
export async function runLoop(context: TurnContext, history: Message[]): Promise<TurnEnding> {
  const { record } = context;
  const iterations = record.maxIterations || (record.config?.budget?.turnIterations ?? DEFAULT_ITERATIONS);
  for (let step = 1; step <= iterations; step++) {
    const answered = await callModel(context, step, history);
    if (answered.answer.stopReason !== StopReason.TOOL_USE)
      return { stopReason: finalStopReason(answered), answered };

    const message = await commitAnswer(context, answered);
    history.push(message);
    for (const call of toolCalls(message)) {
      context.signal.throwIfAborted();
      history.push(await runTool(context, answered.place, call, message.messageId));
    }
  }
  return { stopReason: StopReason.ITERATION_LIMIT };
}

/** An end that this version does not know is an end all the same. */
const finalStopReason = ({ answer }: Answered): StopReason =>
  answer.stopReason === StopReason.UNSPECIFIED ? StopReason.END_TURN : answer.stopReason;

/** Commit point C3. */
async function commitAnswer(
  context: TurnContext,
  { answer, place, costMicroUsd }: Answered,
): Promise<Message> {
  const message = context.messages.make(assistantBody(answer));
  await commit(
    context,
    place,
    [
      { case: 'message', value: message },
      ...toolCalls(message).map(
        ({ toolCallId, name, inputJson }) =>
          ({ case: 'toolPlanned', value: { toolCallId, name, inputJson } }) as const,
      ),
    ],
    {
      case: 'assistantCommitted',
      value: { ...place, message, ...(costMicroUsd !== undefined && { costMicroUsd }) },
    },
  );
  trackCalls(context, message);
  return message;
}

function toolCalls(message: Message): ToolUsePart[] {
  if (message.body.case !== 'assistant') return [];
  return message.body.value.content.flatMap(({ part }) => (part.case === 'toolUse' ? [part.value] : []));
}
