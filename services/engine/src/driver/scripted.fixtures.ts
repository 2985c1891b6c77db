import { create } from '@bufbuild/protobuf';
import { StopReason, TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { messagesProblem } from '@agentx/testing';
import { DriverError } from './driver.ts';
import type { Driver, DriverErrorReason, DriverEvent, ModelRequest } from './driver.ts';
import { toAnthropicMessages } from './history.ts';

/** What a model does when it is called: events as they come, and things to wait for or to fail with in between. */
export type Play = readonly (DriverEvent | Error | Promise<unknown>)[];

export interface ScriptedDriver extends Driver {
  /** Adds plays; each call of the model performs the next. */
  script(...plays: Play[]): void;
  /** The calls so far, with the history as it was then. */
  readonly requests: readonly ModelRequest[];
  /** Why a history that the driver was given could not have been sent. */
  readonly problems: readonly string[];
}

/** A model that does as it is told, and notes every history that the real one would have refused. */
export function createScriptedDriver(): ScriptedDriver {
  const plays: Play[] = [];
  const requests: ModelRequest[] = [];
  const problems: string[] = [];
  return {
    name: 'simulated',
    requests,
    problems,
    script: (...more) => {
      plays.push(...more);
    },
    stream: async function* (request, signal) {
      signal.throwIfAborted();
      requests.push({ ...request, history: [...request.history] });
      const problem = messagesProblem(toAnthropicMessages(request.history, request.model));
      if (problem !== undefined) problems.push(problem);
      const play = plays.shift();
      if (play === undefined) throw new Error('the model was called once more than the script provides for');
      for (const item of play) {
        if (item instanceof Error) throw item;
        else if (item instanceof Promise) await unlessAborted(item, signal);
        else yield item;
        signal.throwIfAborted();
      }
    },
  };
}

async function unlessAborted(value: Promise<unknown>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const leave = () => {
    resolve(undefined);
  };
  signal.addEventListener('abort', leave, { once: true });
  await Promise.race([value, promise]);
  signal.removeEventListener('abort', leave);
  signal.throwIfAborted();
}

export const SCRIPTED_MODEL = 'claude-sonnet-4-5';

export interface ScriptedCall {
  readonly id: string;
  readonly name: string;
  readonly input: string;
  /** True for a call that the model was cut in. */
  readonly cut?: boolean;
}

export interface AnswerScript {
  readonly thinking?: string;
  /** Pieces of the text, in order. */
  readonly text?: readonly string[];
  readonly calls?: readonly ScriptedCall[];
  /** Default: TOOL_USE with calls, else END_TURN. */
  readonly stopReason?: StopReason;
  /** Waited for before the end of the answer. */
  readonly hold?: Promise<unknown>;
  /** Thrown instead of the end of the answer. */
  readonly fail?: Error;
}

/** 100 tokens in, 10 out. */
export const ANSWER_USAGE: TokenUsage = create(TokenUsageSchema, { inputTokens: 100n, outputTokens: 10n });

/** An answer of the model, event by event. */
export function answer(script: AnswerScript): Play {
  const { thinking, text = [], calls = [], hold, fail } = script;
  const stopReason = script.stopReason ?? (calls.length > 0 ? StopReason.TOOL_USE : StopReason.END_TURN);
  const textPart = thinking === undefined ? 0 : 1;
  const callPart = textPart + (text.length > 0 ? 1 : 0);
  return [
    {
      type: 'message_start',
      model: SCRIPTED_MODEL,
      usage: create(TokenUsageSchema, { inputTokens: 100n, outputTokens: 1n }),
    },
    ...(thinking === undefined
      ? []
      : [
          { type: 'thinking_delta', part: 0, text: thinking } as const,
          { type: 'signature_delta', part: 0, signature: 'signed' } as const,
        ]),
    ...text.map((piece) => ({ type: 'text_delta', part: textPart, text: piece }) as const),
    ...calls.flatMap((call, index) => callEvents(call, callPart + index)),
    ...(hold === undefined ? [] : [hold]),
    ...(fail === undefined
      ? ([{ type: 'message_delta', stopReason, usage: ANSWER_USAGE }, { type: 'message_stop' }] as const)
      : [fail]),
  ];
}

function callEvents({ id, name, input, cut }: ScriptedCall, part: number): DriverEvent[] {
  return [
    { type: 'tool_use_start', part, toolCallId: id, name },
    { type: 'input_json_delta', part, toolCallId: id, partialJson: input },
    ...(cut === true ? [] : [{ type: 'tool_use_stop', part, toolCallId: id } as const]),
  ];
}

export function driverError(reason: DriverErrorReason, retryable: boolean): DriverError {
  return new DriverError(reason, `${reason}: try again later`, { retryable });
}
