import type { Message, RefusalStopDetails, StopReason } from '@anthropic-ai/sdk/resources/messages/messages';
import type { Block } from './blocks.ts';
import { messageSteps, buildMessage } from './message.ts';
import type { ScriptedUsage } from './message.ts';
import { encodeRawEvent } from './wire.ts';

/** What the server knows when it begins to answer. */
export interface ReplyContext {
  messageId: string;
  requestId: string;
  /** The model of the request. */
  model: string;
  /** An estimate of the request's input tokens. */
  inputTokens: number;
}

/** The same event `count` times. `whole`: the bytes of all of them, where they are sent at once. */
export interface RepeatStep {
  kind: 'repeat';
  unit: Buffer;
  count: number;
  perEventMs: number;
  whole?: Buffer;
}

/** One thing that the server does while it answers. */
export type Step =
  | { kind: 'event'; bytes: string }
  | RepeatStep
  | { kind: 'delay'; ms: number }
  | { kind: 'gate'; opened: Promise<unknown> }
  | { kind: 'error'; type: string; message: string }
  | { kind: 'cut' }
  | { kind: 'end' };

/** An answer of events. Reusable: the same reply may answer many requests at once. */
export interface StreamReply {
  readonly kind: 'stream';
  steps(context: ReplyContext): Step[];
  /** The answer to a request that is not streamed; a reply without it can only be streamed. */
  message?(context: ReplyContext): Message;
}

export interface HttpErrorReply {
  readonly kind: 'http-error';
  readonly status: number;
  readonly type: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

export interface SilenceReply {
  readonly kind: 'silence';
}

export type Reply = StreamReply | HttpErrorReply | SilenceReply;
/** A reply, or blocks as a shorthand for `reply({ content: [...] })`. */
export type ReplyLike = Reply | Block | readonly Block[];
type StreamLike = StreamReply | Block | readonly Block[];

export interface ReplyOptions {
  content: readonly Block[];
  /** What is left out is estimated (input and output) or zero. */
  usage?: ScriptedUsage;
  /** Default: `tool_use` where the content calls a tool, else `end_turn`. */
  stopReason?: StopReason;
  stopSequence?: string;
  stopDetails?: RefusalStopDetails;
  /** Default: the model of the request. */
  model?: string;
}

export interface HttpErrorOptions {
  /** The `retry-after` header, in seconds. */
  retryAfter?: number;
  /** The `x-should-retry` header, which the SDK obeys before it looks at the status. */
  shouldRetry?: boolean;
  headers?: Record<string, string>;
}

/** A whole answer. Its events: message_start, then content_block_start … stop per block (a ping after the first start), message_delta, message_stop. */
export function reply(options: ReplyOptions): StreamReply {
  return {
    kind: 'stream',
    steps: (context) => messageSteps(options, context),
    message: (context) => buildMessage(options, context),
  };
}

/** An answer with a status and the API's error body, e.g. `httpError(529, 'overloaded_error', 'Overloaded')`. */
export function httpError(
  status: number,
  type: string,
  message: string,
  options: HttpErrorOptions = {},
): HttpErrorReply {
  const headers: Record<string, string> = { ...options.headers };
  if (options.retryAfter !== undefined) headers['retry-after'] = String(options.retryAfter);
  if (options.shouldRetry !== undefined) headers['x-should-retry'] = String(options.shouldRetry);
  return { kind: 'http-error', status, type, message, headers };
}

/** The request is accepted and nothing is ever sent, until the client or the server closes. */
export const silence: SilenceReply = { kind: 'silence' };

/**
 * After `afterEvents` events of the reply an SSE `event: error`, then the end. A request that is not streamed gets the
 * error as an HTTP response.
 */
export function midStreamError(
  source: StreamLike,
  afterEvents: number,
  type = 'overloaded_error',
  message = 'Overloaded',
): StreamReply {
  return breakAfter(source, afterEvents, { kind: 'error', type, message });
}

/** The connection is destroyed after `afterEvents` events (0: before the headers). Events are those of {@link countEvents}. */
export function cutAfter(source: StreamLike, afterEvents: number): StreamReply {
  return breakAfter(source, afterEvents, { kind: 'cut' });
}

/** The response ends cleanly after `afterEvents` events, without message_stop: what a proxy that gives up looks like. */
export function endAfter(source: StreamLike, afterEvents: number): StreamReply {
  return breakAfter(source, afterEvents, { kind: 'end' });
}

/** Waits for `gate` after `afterEvents` events (default 0: before the headers), then goes on with the reply. */
export function hold(source: StreamLike, gate: Promise<unknown>, afterEvents = 0): StreamReply {
  const inner = toStream(source);
  checkEventCount(inner, afterEvents);
  return {
    ...inner,
    steps: (context) => {
      const [before, after] = splitSteps(inner.steps(context), afterEvents);
      return [...before, { kind: 'gate', opened: gate }, ...after];
    },
  };
}

/** Events as they are, for sequences that the API should never send. An object is sent as JSON under its own `type`. */
export function rawEvents(
  events: readonly ({ type: string; [key: string]: unknown } | { event: string; data: string })[],
): StreamReply {
  const steps = events.map((item): Step => {
    if ('type' in item) return { kind: 'event', bytes: encodeRawEvent(item.type, JSON.stringify(item)) };
    return { kind: 'event', bytes: encodeRawEvent(item.event, item.data) };
  });
  return { kind: 'stream', steps: () => steps };
}

/** How many SSE events a reply sends, pings included: the range of `afterEvents` above. */
export function countEvents(source: StreamLike): number {
  return toStream(source)
    .steps(PROBE)
    .reduce((sum, step) => sum + eventsOf(step), 0);
}

export function toReply(source: ReplyLike): Reply {
  if (isBlocks(source)) return reply({ content: source });
  return source.kind === 'block' ? reply({ content: [source] }) : source;
}

const PROBE: ReplyContext = {
  messageId: 'msg_probe',
  requestId: 'req_probe',
  model: 'probe',
  inputTokens: 1,
};

function toStream(source: StreamLike): StreamReply {
  const made = toReply(source);
  if (made.kind !== 'stream') throw new TypeError(`expected a reply of events, got ${made.kind}`);
  return made;
}

function isBlocks(source: ReplyLike): source is readonly Block[] {
  return Array.isArray(source);
}

function breakAfter(source: StreamLike, afterEvents: number, step: Step): StreamReply {
  const inner = toStream(source);
  checkEventCount(inner, afterEvents);
  return { ...inner, steps: (context) => [...splitSteps(inner.steps(context), afterEvents)[0], step] };
}

function checkEventCount(source: StreamReply, afterEvents: number): void {
  const count = countEvents(source);
  if (!Number.isInteger(afterEvents) || afterEvents < 0 || afterEvents > count) {
    throw new RangeError(
      `afterEvents must be a whole number from 0 to ${String(count)}, not ${String(afterEvents)}`,
    );
  }
}

function eventsOf(step: Step): number {
  if (step.kind === 'event') return 1;
  return step.kind === 'repeat' ? step.count : 0;
}

/** Splits right after the nth event: what waits between two events comes to the second part. */
function splitSteps(steps: readonly Step[], events: number): [Step[], Step[]] {
  let left = events;
  let index = 0;
  for (; index < steps.length && left > 0; index += 1) {
    const step = steps[index];
    if (step === undefined) break;
    if (step.kind === 'repeat' && step.count > left) {
      const rest = steps.slice(index + 1);
      return [
        [...steps.slice(0, index), repeat(step, left)],
        [repeat(step, step.count - left), ...rest],
      ];
    }
    left -= eventsOf(step);
  }
  return [steps.slice(0, index), steps.slice(index)];
}

function repeat({ unit, perEventMs }: RepeatStep, count: number): RepeatStep {
  return { kind: 'repeat', unit, count, perEventMs };
}
