import { setImmediate as nextTick, setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { StopReason, TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { Driver, DriverEvent, ModelRequest } from './driver.ts';
import { composeAnswer, textOf } from './simulated-answer.ts';
import type { SimulatedAnswer } from './simulated-answer.ts';

export { SIMULATED_NOTICE } from './simulated-answer.ts';

/** The model that answers, whatever model was asked for. Nothing is priced under this name. */
export const SIMULATED_MODEL = 'simulated';

/** So that an abort is noticed and others get their turn while nothing has to be waited for. */
const PIECES_PER_TICK = 64;

/**
 * A stand-in for a model: no network, no key, the same answer for the same history, and never a word that could be taken
 * for Claude's. It answers with a sentence that says so and `You said: …`. These lines of a message are directives:
 *
 * - `!bash COMMAND` calls the bash tool. All such lines of a message are calls of one answer, in order; after their
 *   results it answers with each command's outcome and its first five lines.
 * - `!stream N MS` answers in exactly N pieces, MS milliseconds apart: the usual text and `1` in the first, then ` 2`,
 *   ` 3` … (N from 1 to 100,000, MS from 0 to 60,000.)
 * - `!think TEXT` reasons TEXT before it answers.
 *
 * A line that begins like a directive and is none is named in the answer. Tokens are counted as a quarter of the
 * characters.
 */
export function createSimulatedDriver(): Driver {
  return { name: 'simulated', stream: streamAnswer };
}

async function* streamAnswer(
  request: ModelRequest,
  signal: AbortSignal,
): AsyncGenerator<DriverEvent, void, undefined> {
  signal.throwIfAborted();
  const answer = composeAnswer(request);
  const usage = countTokens(request, answer);
  let part = 0;
  yield {
    type: 'message_start',
    model: SIMULATED_MODEL,
    usage: create(TokenUsageSchema, { inputTokens: usage.inputTokens, outputTokens: 1n }),
  };
  if (answer.thought !== '') {
    yield { type: 'thinking_delta', part, text: answer.thought };
    yield { type: 'signature_delta', part, signature: SIMULATED_MODEL };
    part += 1;
  }
  for (const { toolCallId, inputJson } of answer.calls) {
    yield { type: 'tool_use_start', part, toolCallId, name: 'bash' };
    yield { type: 'input_json_delta', part, toolCallId, partialJson: inputJson };
    yield { type: 'tool_use_stop', part, toolCallId };
    part += 1;
  }
  for await (const text of pacePieces(answer, signal)) yield { type: 'text_delta', part, text };
  signal.throwIfAborted();
  const stopReason = answer.calls.length > 0 ? StopReason.TOOL_USE : StopReason.END_TURN;
  yield { type: 'message_delta', stopReason, usage };
  yield { type: 'message_stop' };
}

async function* pacePieces(
  { pieces, intervalMs }: SimulatedAnswer,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const startMs = performance.now();
  for (const [index, piece] of pieces.entries()) {
    // Each piece has its own due time, so that slow readers and late timers do not add up.
    const waitMs = startMs + index * intervalMs - performance.now();
    if (waitMs > 0) await sleep(waitMs, signal);
    else if (index % PIECES_PER_TICK === PIECES_PER_TICK - 1) await nextTick();
    signal.throwIfAborted();
    yield piece;
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}

function countTokens(request: ModelRequest, answer: SimulatedAnswer): TokenUsage {
  const said = request.history.reduce((sum, message) => sum + textOf(message).length, request.system.length);
  const made = [answer.thought, ...answer.calls.map(({ inputJson }) => inputJson), ...answer.pieces];
  return create(TokenUsageSchema, {
    inputTokens: quarter(said),
    outputTokens: quarter(made.reduce((sum, text) => sum + text.length, 0)),
  });
}

function quarter(characters: number): bigint {
  return BigInt(Math.max(1, Math.ceil(characters / 4)));
}
