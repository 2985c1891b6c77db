import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { StopReason, TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { ToolDefinition } from '../tools/tool.ts';

export type { ToolDefinition };

/** One call of a model. */
export interface ModelRequest {
  /** Model id, as the provider names it. */
  readonly model: string;
  /** System prompt. Empty: none. */
  readonly system: string;
  /** The agent's messages, oldest first; what cannot be sent is left out by the driver. */
  readonly history: readonly Message[];
  readonly tools: readonly ToolDefinition[];
  /** Limit of output tokens, from 1; thinking counts. */
  readonly maxOutputTokens: number;
}

/**
 * What a model says, as it says it. One call yields `message_start`, then the parts one after the other, then
 * `message_delta` and `message_stop`, always as the last event: an iteration that ends without it has thrown.
 *
 * `part` is the index of the part within the answer: 0, 1, 2 … in order, without gaps; a block without any content has
 * no part. Signatures, redacted thinking and server tools come whole. `usage` is cumulative as far as known; the last
 * `message_delta` has the final counts.
 *
 * Stop reasons: TOOL_USE without any tool_use part means that a tool run by the provider has paused: append the answer to
 * the history and call again. MAX_TOKENS is also said where the model's context window was full. UNSPECIFIED is a reason
 * that this version does not know: treat it as an end.
 */
export type DriverEvent =
  | { readonly type: 'message_start'; readonly model: string; readonly usage: TokenUsage }
  | { readonly type: 'text_delta'; readonly part: number; readonly text: string }
  | { readonly type: 'thinking_delta'; readonly part: number; readonly text: string }
  /** The signature of a thinking part; thinking without one was cut. */
  | { readonly type: 'signature_delta'; readonly part: number; readonly signature: string }
  | { readonly type: 'redacted_thinking'; readonly part: number; readonly data: string }
  | {
      readonly type: 'tool_use_start';
      readonly part: number;
      readonly toolCallId: string;
      readonly name: string;
    }
  /**
   * The pieces of a call joined are its arguments, `{}` where it has none. Never checked here: they may turn out not to be
   * valid JSON.
   */
  | {
      readonly type: 'input_json_delta';
      readonly part: number;
      readonly toolCallId: string;
      readonly partialJson: string;
    }
  /** The call is written to its end. A call without this event was cut and must not run. */
  | { readonly type: 'tool_use_stop'; readonly part: number; readonly toolCallId: string }
  /** A block that only the provider understands, whole. */
  | {
      readonly type: 'server_tool';
      readonly part: number;
      readonly blockType: string;
      readonly blockJson: string;
    }
  | { readonly type: 'message_delta'; readonly stopReason: StopReason; readonly usage: TokenUsage }
  | { readonly type: 'message_stop' };

/** Whether the event brings something of the answer itself: the first that does ends the wait for it. */
export function bringsContent({ type }: DriverEvent): boolean {
  return type !== 'message_start' && type !== 'message_delta' && type !== 'message_stop';
}

/** A way to call models. Holds no state between calls. */
export interface Driver {
  readonly name: 'anthropic' | 'simulated';
  /**
   * Calls the model; nothing is sent before the first `next()`. Leaving the iteration early ends the call.
   *
   * @throws the signal's reason as soon as the signal is aborted, also while nothing comes.
   * @throws {DriverError} for every other failure, before or amid the answer.
   */
  stream(request: ModelRequest, signal: AbortSignal): AsyncIterable<DriverEvent>;
}

/** Machine-readable reasons of a failed model call. */
export type DriverErrorReason =
  /** The provider has too much to do (529). */
  | 'MODEL_OVERLOADED'
  /** The key's rate limit is reached (429). */
  | 'MODEL_RATE_LIMITED'
  /** The key is missing or wrong (401). */
  | 'MODEL_AUTHENTICATION'
  /** The key may not do this (403). */
  | 'MODEL_PERMISSION_DENIED'
  /** The account cannot pay (402, or 400 for want of credit). */
  | 'MODEL_BILLING'
  /** The provider has no such model (404). */
  | 'MODEL_NOT_FOUND'
  /** The provider refused the request as it is (400, 422). */
  | 'MODEL_BAD_REQUEST'
  /** The history no longer fits: mended by compaction (400 "too long", 413). */
  | 'MODEL_CONTEXT_TOO_LONG'
  /** The provider failed, was not reached or stayed silent (5xx, connection errors, timeout). */
  | 'MODEL_UNAVAILABLE'
  /** The answer broke off or made no sense. */
  | 'MODEL_STREAM_BROKEN';

export interface DriverErrorOptions {
  readonly retryable: boolean;
  readonly cause?: unknown;
}

/** Every failure of a model call. `message` is public: it says what went wrong and how to mend it; `cause` is for the log. */
export class DriverError extends Error {
  readonly reason: DriverErrorReason;
  /** True where the same call may succeed soon. The driver's own retries are already used up. */
  readonly retryable: boolean;

  constructor(reason: DriverErrorReason, message: string, options: DriverErrorOptions) {
    super(message, { cause: options.cause });
    this.name = 'DriverError';
    this.reason = reason;
    this.retryable = options.retryable;
  }
}
