import { expect } from '@jest/globals';
import {
  AGENT,
  ANSWER,
  ANSWER_PIECES,
  failing,
  mend,
  MODEL,
  SAID,
  SIGNATURE,
  THOUGHT,
  THOUGHT_PIECES,
  TURN_COST,
  TURN_USAGE,
  usages,
  working,
  write,
} from './calculator.ts';
import type { ScriptedCall } from './calculator.ts';

export const ID = expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown;
export const TIME = expect.stringMatching(/^20\d\d-\d\d-\d\dT[\d:.]+Z$/) as unknown;
export const MS = expect.stringMatching(/^\d+$/) as unknown;
export const CURSOR = expect.stringMatching(/^\S+$/) as unknown;

/** An event as protobuf JSON, all but what `say` says: step 0 is outside of model calls. */
const event = (step: number, payload: object) => ({
  agentId: AGENT,
  turnId: ID,
  cursor: CURSOR,
  time: TIME,
  engineId: 'desktop',
  ...(step > 0 && { step, attempt: 1 }),
  ...payload,
});

const message = (position: number, body: object, parentId?: unknown) => ({
  message: {
    messageId: ID,
    agentId: AGENT,
    turnId: ID,
    position,
    createTime: TIME,
    ...(parentId !== undefined && { parentId }),
    ...body,
  },
});

function toolUseEvents(step: number, { id, json }: ScriptedCall, part = 0) {
  const toolCallId = id;
  return [
    event(step, { toolUseStart: { toolCallId, name: 'bash', ...(part > 0 && { part }) } }),
    event(step, { inputJsonDelta: { toolCallId, partialJson: json } }),
    event(step, { toolUseStop: { toolCallId } }),
  ];
}

const planned = (step: number, { id, json }: ScriptedCall) =>
  event(step, { toolPlanned: { toolCallId: id, name: 'bash', inputJson: json } });

const toolPart = ({ id, json }: ScriptedCall) => ({
  toolUse: { toolCallId: id, name: 'bash', inputJson: json },
});

interface Ran {
  readonly position: number;
  readonly output: string;
  /** Default 0. */
  readonly exitCode?: number;
}

function ranEvents(step: number, { id }: ScriptedCall, { position, output, exitCode = 0 }: Ran) {
  const toolCallId = id;
  const failed = exitCode !== 0;
  const content = `${output}${failed ? `exit code ${exitCode}` : ''}`;
  const outcome = failed ? 'TOOL_OUTCOME_ERROR' : 'TOOL_OUTCOME_OK';
  return [
    event(step, { toolExecuting: { toolCallId, name: 'bash' } }),
    ...(output === '' ? [] : [event(step, { toolOutputDelta: { toolCallId, text: output } })]),
    failed
      ? event(step, { toolFailed: { toolCallId, name: 'bash', outcome, durationMs: MS } })
      : event(step, { toolCompleted: { toolCallId, name: 'bash', durationMs: MS } }),
    event(
      step,
      message(
        position,
        {
          toolResult: {
            toolCallId,
            name: 'bash',
            ...(content !== '' && { content }),
            ...(failed && { isError: true }),
            outcome,
          },
        },
        ID,
      ),
    ),
  ];
}

function beginOfAnswer(step: number) {
  return [
    event(step, { thinking: {} }),
    event(step, { messageStart: { model: MODEL, usage: usages(step - 1).first } }),
  ];
}

function endOfAnswer(step: number, position: number, stopReason: string, content: object[]) {
  const usage = usages(step - 1).whole;
  return [
    event(step, { messageDelta: { stopReason, usage } }),
    event(step, { messageStop: {} }),
    event(step, message(position, { assistant: { content, usage, model: MODEL, stopReason } })),
  ];
}

const delta = (step: number, pieces: string[], part = 0) =>
  pieces.map((piece) => event(step, { textDelta: { text: piece, ...(part > 0 && { part }) } }));

const USE = 'STOP_REASON_TOOL_USE';
export const END = 'STOP_REASON_END_TURN';

/** All events of the turn as protobuf JSON, in order, without turn_accepted. */
export function expectedEvents(): Record<string, unknown>[] {
  return [
    event(0, { turnStarted: { model: MODEL, requestId: 'first' } }),
    event(0, message(1, { user: { content: [{ text: { text: SAID } }] } })),
    ...beginOfAnswer(1),
    ...THOUGHT_PIECES.map((piece) => event(1, { thinkingDelta: { text: piece } })),
    event(1, { responding: {} }),
    ...delta(1, ['I write', ' it.'], 1),
    ...toolUseEvents(1, write, 2),
    ...endOfAnswer(1, 2, USE, [
      { thinking: { text: THOUGHT, signature: SIGNATURE } },
      { text: { text: 'I write it.' } },
      toolPart(write),
    ]),
    planned(1, write),
    ...ranEvents(1, write, { position: 3, output: '' }),

    ...beginOfAnswer(2),
    event(2, { responding: {} }),
    ...toolUseEvents(2, failing),
    ...endOfAnswer(2, 4, USE, [toolPart(failing)]),
    planned(2, failing),
    ...ranEvents(2, failing, { position: 5, output: 'the sum is -6\n', exitCode: 3 }),

    ...beginOfAnswer(3),
    event(3, { responding: {} }),
    ...toolUseEvents(3, mend),
    ...toolUseEvents(3, working, 1),
    ...endOfAnswer(3, 6, USE, [toolPart(mend), toolPart(working)]),
    planned(3, mend),
    planned(3, working),
    ...ranEvents(3, mend, { position: 7, output: '' }),
    ...ranEvents(3, working, { position: 8, output: '/project/src\nthe sum is 6\n' }),

    ...beginOfAnswer(4),
    event(4, { responding: {} }),
    ...delta(4, ANSWER_PIECES),
    ...endOfAnswer(4, 9, END, [{ text: { text: ANSWER } }]),
    event(4, {
      turnEnded: { stopReason: END, usage: TURN_USAGE, costMicroUsd: String(TURN_COST), durationMs: MS },
    }),
  ];
}
