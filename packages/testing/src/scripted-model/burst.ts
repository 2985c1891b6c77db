import { text } from './blocks.ts';
import { buildMessage, messageSteps } from './message.ts';
import type { RepeatStep, ReplyOptions, StreamReply } from './replies.ts';
import { encodeEvent } from './wire.ts';

export interface BurstOptions {
  /** Milliseconds between deltas, fractions allowed; 0 (the default) writes them all at once. */
  perDeltaMs?: number;
  /** The text of every delta. Default: 16 characters. */
  deltaText?: string;
}

/**
 * One text answer of `nDeltas` equal deltas for benchmarks. The bytes are made here, once: an answer costs the server
 * one write, or one write per timer tick when paced, however many deltas fall due in it. Make it once and answer with
 * it as often as needed (`startScriptedModel({ replies: () => made })`).
 */
export function burst(nDeltas: number, options: BurstOptions = {}): StreamReply {
  if (!Number.isInteger(nDeltas) || nDeltas < 1) {
    throw new RangeError(`nDeltas must be a whole number from 1, not ${String(nDeltas)}`);
  }
  const deltaText = options.deltaText ?? 'sixteen letters ';
  const perEventMs = options.perDeltaMs ?? 0;
  const unit = Buffer.from(
    encodeEvent({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: deltaText } }),
  );
  const frame: ReplyOptions = { content: [text('')], usage: { output_tokens: nDeltas } };
  const deltas: RepeatStep = { kind: 'repeat', unit, count: nDeltas, perEventMs };
  if (perEventMs === 0) deltas.whole = Buffer.alloc(unit.length * nDeltas, unit);
  return {
    kind: 'stream',
    steps: (context) => {
      const steps = messageSteps(frame, context);
      // message_start, content_block_start and ping come before the deltas.
      steps.splice(3, 0, deltas);
      return steps;
    },
    message: (context) => buildMessage({ ...frame, content: [text(deltaText.repeat(nDeltas))] }, context),
  };
}
