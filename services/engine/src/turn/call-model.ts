import { setTimeout as delay } from 'node:timers/promises';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { AssistantCommitted } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { bringsContent, DriverError } from '../driver/driver.ts';
import type { ModelRequest } from '../driver/driver.ts';
import { EMPTY_ANSWER, foldAnswer } from './answer.ts';
import type { Answer } from './answer.ts';
import { commit } from './commit.ts';
import type { TurnContext } from './context.ts';
import type { StepPlace } from './payload.ts';
import { createToolCallIds } from './tool-call-ids.ts';

/** Attempts at one step; the driver's own retries of a refused connection come on top. */
const MAX_ATTEMPTS = 3;
const RETRY_MS = 500;
const DEFAULT_OUTPUT_TOKENS = 8192;

/** A complete answer and the attempt that brought it. */
export interface Answered {
  readonly answer: Answer;
  readonly place: StepPlace;
  readonly costMicroUsd: AssistantCommitted['costMicroUsd'];
}

/** Calls the model until it has answered whole: commit point C1, then the stream. */
export async function callModel(
  context: TurnContext,
  step: number,
  history: readonly Message[],
): Promise<Answered> {
  let reason = '';
  for (let attempt = 1; ; attempt++) {
    const place = { step, attempt };
    context.signal.throwIfAborted();
    await startAttempt(context, place, reason);
    let answer = EMPTY_ANSWER;
    try {
      for await (const next of streamAnswer(context, place, history)) answer = next;
      if (!answer.complete) throw cutAnswer();
      return { answer, place, costMicroUsd: count(context, answer, 'committed') };
    } catch (error) {
      if (context.signal.aborted) {
        count(context, answer, 'cut');
        throw context.signal.reason;
      }
      if (!(error instanceof DriverError)) throw error;
      reason = error.reason;
      await failAttempt(context, place, answer, error);
      if (!error.retryable || attempt >= MAX_ATTEMPTS) throw error;
      await delay(RETRY_MS * attempt, undefined, { signal: context.signal });
    }
  }
}

/** A driver says so itself; nothing may run from an answer that is not whole. */
const cutAnswer = () =>
  new DriverError('MODEL_STREAM_BROKEN', 'the answer ended before it was complete', { retryable: true });

async function startAttempt(context: TurnContext, place: StepPlace, reason: string): Promise<void> {
  const { step, attempt } = place;
  const model = context.record.config?.model ?? '';
  await commit(
    context,
    place,
    [
      ...(attempt > 1 ? [{ case: 'stepRestarted', value: { attempt, reason } } as const] : []),
      { case: 'thinking', value: {} },
    ],
    { case: 'modelAttemptStarted', value: { step, attempt, model } },
  );
}

/** The answer as it grows: each event of the driver folded into it, and what the fold says shown to readers. */
async function* streamAnswer(
  context: TurnContext,
  place: StepPlace,
  history: readonly Message[],
): AsyncGenerator<Answer> {
  const { parts, turnLog, tally, signal } = context;
  const withUniqueIds = createToolCallIds(history, context.turnId);
  let answer = EMPTY_ANSWER;
  for await (const said of parts.driver.stream(requestOf(context, history), signal)) {
    const event = withUniqueIds(said);
    const [next, outputs] = foldAnswer(answer, event);
    answer = next;
    if (bringsContent(event)) tally.ttftMs ??= performance.now() - tally.startMs;
    for (const payload of outputs) turnLog.append(payload, place);
    const backlog = turnLog.backlog();
    if (backlog !== undefined) await backlog;
    yield answer;
  }
}

function requestOf(context: TurnContext, history: readonly Message[]): ModelRequest {
  const { record, parts } = context;
  const { config } = record;
  return {
    model: config?.model ?? '',
    system:
      config?.systemPrompt === undefined || config.systemPrompt === ''
        ? parts.systemPrompt
        : config.systemPrompt,
    history,
    tools: parts.toolbox.definitions,
    maxOutputTokens: record.maxOutputTokens || DEFAULT_OUTPUT_TOKENS,
  };
}

/** Adds a call to the turn's sum; returns its cost. */
function count(
  context: TurnContext,
  answer: Answer,
  end: 'committed' | 'failed' | 'cut',
): bigint | undefined {
  const { tally, parts } = context;
  const { usage } = answer;
  if (answer.model !== '') tally.model = answer.model;
  const price = usage && parts.priceUsage(answer.model, usage);
  tally.attempts.push({
    usage,
    costMicroUsd: usage === undefined ? 0n : price?.costMicroUsd,
    priceTableVersion: price?.priceTableVersion ?? '',
    wasted: end !== 'committed',
    estimated: end === 'cut',
  });
  return price?.costMicroUsd;
}

async function failAttempt(
  context: TurnContext,
  place: StepPlace,
  answer: Answer,
  { reason, message, retryable }: DriverError,
): Promise<void> {
  const costMicroUsd = count(context, answer, 'failed');
  await commit(
    context,
    place,
    [{ case: 'errorOccurred', value: { error: { reason, message, recoverable: retryable } } }],
    {
      case: 'modelAttemptFailed',
      value: {
        ...place,
        reason,
        ...(answer.usage && { usage: answer.usage }),
        ...(costMicroUsd !== undefined && { costMicroUsd }),
      },
    },
  );
}
