import type { IncomingHttpHeaders } from 'node:http';
import type { Outcome } from './play.ts';
import { toReply } from './replies.ts';
import type { Reply, ReplyLike } from './replies.ts';

/** A request as it came in, also one that was rejected. */
export interface ScriptedRequest {
  /** From 0, over all requests. */
  readonly index: number;
  /** `/v1/messages` or `/v1/messages/count_tokens`; anything else was answered with 404. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** The parsed JSON body. Its shape is only sure where `rejection` is undefined. */
  readonly body: ScriptedRequestBody;
  /** Why the server refused it by itself (400, 401, 404, 413), in the words of the answer. */
  readonly rejection: string | undefined;
  /** Settles when the request is over: `aborted` where the client went away before its answer was whole. */
  readonly done: Promise<Outcome>;
}

/** The parts of a request that scripts look at, typed; everything else is there too. */
export interface ScriptedRequestBody {
  readonly model: string;
  readonly max_tokens: number;
  readonly stream?: boolean;
  readonly messages: readonly {
    readonly role: string;
    readonly content: string | readonly Readonly<Record<string, unknown>>[];
  }[];
  readonly [field: string]: unknown;
}

export type ReplyFunction = (request: ScriptedRequest) => ReplyLike | Promise<ReplyLike>;
/** What answers, in order; or one function that answers every request. */
export type Script = readonly (ReplyLike | ReplyFunction)[] | ReplyFunction;

export interface ScriptRunner {
  readonly exhausted: number;
  readonly errors: readonly Error[];
  push(...replies: (ReplyLike | ReplyFunction)[]): void;
  next(request: ScriptedRequest): Promise<Reply>;
  /** Notes what went wrong, and words it for the answer. */
  fail(error: unknown): string;
}

class ExhaustedError extends Error {
  override name = 'ExhaustedError';
}

export function createScript(script: Script): ScriptRunner {
  const queue = typeof script === 'function' ? [] : [...script];
  const fallback = typeof script === 'function' ? script : undefined;
  const errors: Error[] = [];
  let used = 0;
  let exhausted = 0;
  return {
    get exhausted() {
      return exhausted;
    },
    errors,
    push: (...replies) => {
      queue.push(...replies);
    },
    next: async (request) => {
      const source = queue.shift() ?? fallback;
      if (source === undefined) {
        exhausted += 1;
        throw new ExhaustedError(
          `The script is exhausted: request ${String(request.index)} came after all ${String(used)} replies were used.`,
        );
      }
      used += 1;
      return toReply(typeof source === 'function' ? await source(request) : source);
    },
    fail: (cause) => {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      if (error instanceof ExhaustedError) return error.message;
      errors.push(error);
      return `The script failed: ${error.message}`;
    },
  };
}

/** The tool results that a request ends with, content flattened to text: what a function of a script answers from. */
export function toolResults(
  request: ScriptedRequest,
): { toolUseId: string; text: string; isError: boolean }[] {
  return lastBlocks(request)
    .filter((block) => block['type'] === 'tool_result')
    .map((block) => ({
      toolUseId: String(block['tool_use_id']),
      text: flatten(block['content']),
      isError: block['is_error'] === true,
    }));
}

/** The text of the last message of a request, its blocks joined by newlines. */
export function lastText(request: ScriptedRequest): string {
  return flatten(lastBlocks(request));
}

function lastBlocks(request: ScriptedRequest): readonly Readonly<Record<string, unknown>>[] {
  const content = request.body.messages.at(-1)?.content ?? [];
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

function flatten(content: unknown): string {
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content
    .flatMap((block: { type?: unknown; text?: unknown }) =>
      block.type === 'text' ? [String(block.text)] : [],
    )
    .join('\n');
}
