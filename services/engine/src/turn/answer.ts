import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { DriverEvent } from '../driver/driver.ts';
import type { Payload } from './payload.ts';

/** A part of an answer as far as it has come. */
export type AnswerPart =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'thinking';
      readonly text: string;
      readonly signature: string;
      readonly redacted: string;
    }
  | {
      readonly kind: 'tool_use';
      readonly toolCallId: string;
      readonly name: string;
      readonly inputJson: string;
      /** False while the call is being written; such a call never runs. */
      readonly complete: boolean;
    }
  | { readonly kind: 'server_tool'; readonly type: string; readonly blockJson: string };

/** An answer of the model as far as it has come. */
export interface Answer {
  /** The model, as its provider names it. Empty until it has begun. */
  readonly model: string;
  readonly parts: readonly AnswerPart[];
  readonly usage: TokenUsage | undefined;
  readonly stopReason: StopReason;
  /** True once something of the answer itself has come. */
  readonly responding: boolean;
  /** True once the provider has said that this is all. */
  readonly complete: boolean;
}

export const EMPTY_ANSWER: Answer = {
  model: '',
  parts: [],
  usage: undefined,
  stopReason: StopReason.UNSPECIFIED,
  responding: false,
  complete: false,
};

type Folded = readonly [Answer, readonly Payload[]];

/** The engine's fold: what the answer is after an event of the driver, and what there is to tell about it. */
export function foldAnswer(answer: Answer, event: DriverEvent): Folded {
  switch (event.type) {
    case 'message_start':
      return [
        { ...answer, model: event.model, usage: event.usage },
        [{ case: 'messageStart', value: { model: event.model, usage: event.usage } }],
      ];
    case 'text_delta':
      return respond(
        withPart(answer, event.part, (part) => ({
          kind: 'text',
          text: (part?.kind === 'text' ? part.text : '') + event.text,
        })),
        { case: 'textDelta', value: { text: event.text, part: event.part } },
      );
    case 'thinking_delta':
      return [
        withPart(answer, event.part, (part) => {
          const thinking = thinkingOf(part);
          return { ...thinking, text: thinking.text + event.text };
        }),
        [{ case: 'thinkingDelta', value: { text: event.text, part: event.part } }],
      ];
    case 'signature_delta':
      return [
        withPart(answer, event.part, (part) => ({ ...thinkingOf(part), signature: event.signature })),
        [],
      ];
    case 'redacted_thinking':
      return [withPart(answer, event.part, (part) => ({ ...thinkingOf(part), redacted: event.data })), []];
    case 'server_tool':
      return [
        withPart(answer, event.part, () => ({
          kind: 'server_tool',
          type: event.blockType,
          blockJson: event.blockJson,
        })),
        [],
      ];
    case 'tool_use_start':
    case 'input_json_delta':
    case 'tool_use_stop':
      return foldToolUse(answer, event);
    case 'message_delta':
      return [
        { ...answer, stopReason: event.stopReason, usage: event.usage },
        [{ case: 'messageDelta', value: { stopReason: event.stopReason, usage: event.usage } }],
      ];
    case 'message_stop':
      return [{ ...answer, complete: true }, [{ case: 'messageStop', value: {} }]];
  }
}

type ToolUseEvent = Extract<DriverEvent, { type: 'tool_use_start' | 'input_json_delta' | 'tool_use_stop' }>;

function foldToolUse(answer: Answer, event: ToolUseEvent): Folded {
  const { part: index, toolCallId } = event;
  const change = (fields: (part: ToolUsePart) => Partial<ToolUsePart>) =>
    withPart(answer, index, (part) => {
      const call = part?.kind === 'tool_use' ? part : newToolUse(toolCallId);
      return { ...call, ...fields(call) };
    });
  switch (event.type) {
    case 'tool_use_start':
      return respond(
        change(() => ({ name: event.name })),
        { case: 'toolUseStart', value: { toolCallId, name: event.name, part: index } },
      );
    case 'input_json_delta':
      return [
        change((call) => ({ inputJson: call.inputJson + event.partialJson })),
        [{ case: 'inputJsonDelta', value: { toolCallId, partialJson: event.partialJson } }],
      ];
    case 'tool_use_stop':
      return [change(() => ({ complete: true })), [{ case: 'toolUseStop', value: { toolCallId } }]];
  }
}

type ToolUsePart = Extract<AnswerPart, { kind: 'tool_use' }>;

const newToolUse = (toolCallId: string): ToolUsePart => ({
  kind: 'tool_use',
  toolCallId,
  name: '',
  inputJson: '',
  complete: false,
});

type ThinkingPart = Extract<AnswerPart, { kind: 'thinking' }>;

const thinkingOf = (part: AnswerPart | undefined): ThinkingPart =>
  part?.kind === 'thinking' ? part : { kind: 'thinking', text: '', signature: '', redacted: '' };

function withPart(
  answer: Answer,
  index: number,
  change: (part: AnswerPart | undefined) => AnswerPart,
): Answer {
  const parts = [...answer.parts];
  parts[index] = change(parts[index]);
  return { ...answer, parts };
}

/** The first piece of the answer itself ends the time of thinking. */
function respond(answer: Answer, payload: Payload): Folded {
  if (answer.responding) return [answer, [payload]];
  return [{ ...answer, responding: true }, [{ case: 'responding', value: {} }, payload]];
}
