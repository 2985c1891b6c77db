import { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message, ToolResultMessage } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { ModelRequest } from './driver.ts';
import { readDirectives } from './simulated-directives.ts';
import type { Directives } from './simulated-directives.ts';

/** Begins every answer in words. */
export const SIMULATED_NOTICE =
  'This answer comes from the simulated model; no AI was asked. Set ANTHROPIC_API_KEY to talk to Claude.';

export interface SimulatedCall {
  readonly toolCallId: string;
  readonly inputJson: string;
}

/** What the simulated model says next. */
export interface SimulatedAnswer {
  /** Empty: none. */
  readonly thought: string;
  /** Where there are any, the answer is nothing but these. */
  readonly calls: readonly SimulatedCall[];
  /** In the pieces in which it streams. */
  readonly pieces: readonly string[];
  readonly intervalMs: number;
}

const PIECE_LENGTH = 24;
const SHOWN_LINES = 5;
const SHOWN_LINE_LENGTH = 200;

/** A pure function of the request: the same history always gets the same answer. */
export function composeAnswer(request: ModelRequest): SimulatedAnswer {
  const { history } = request;
  const asked = history.findLastIndex(({ body }) => body.case === 'user');
  const directives = readDirectives(textOf(history[asked]));
  const since = history.slice(asked + 1);
  const answered = since.some(({ body }) => body.case === 'assistant');
  const hasBash = request.tools.some(({ name }) => name === 'bash');
  const position = history[asked]?.position ?? 0;
  const calls = directives.commands.map((command, index) => ({
    toolCallId: `sim_${position}_${index}`,
    inputJson: JSON.stringify({ command }),
  }));
  const thought = answered ? '' : directives.thought;
  if (calls.length > 0 && hasBash && !answered) return { thought, calls, pieces: [], intervalMs: 0 };
  const text = composeText(directives, hasBash, resultsOf(calls, since));
  return { thought, calls: [], ...paceText(text, directives.pace) };
}

function composeText(
  { said, commands, mistakes }: Directives,
  hasBash: boolean,
  results: readonly (ToolResultMessage | undefined)[],
): string {
  const ran = hasBash
    ? commands.map((command, index) => describeResult(command, results[index]))
    : commands.map((command) => `$ ${command}\nnot run: this agent has no bash tool`);
  return [SIMULATED_NOTICE, ...(said === '' ? [] : [`You said: ${said}`]), ...mistakes, ...ran].join('\n\n');
}

function describeResult(command: string, result: ToolResultMessage | undefined): string {
  if (!result) return `$ ${command}\nno result`;
  const lines = result.content.trimEnd().split('\n');
  const shown = lines.slice(0, SHOWN_LINES).map((line) => line.slice(0, SHOWN_LINE_LENGTH));
  const more = lines.length - shown.length;
  return [`$ ${command}`, outcomeName(result), ...shown, ...(more > 0 ? [`(${more} more lines)`] : [])].join(
    '\n',
  );
}

function outcomeName({ outcome }: ToolResultMessage): string {
  return Object.entries(ToolOutcome).find(([, value]) => value === outcome)?.[0] ?? 'UNSPECIFIED';
}

function paceText(text: string, pace: Directives['pace']): Pick<SimulatedAnswer, 'pieces' | 'intervalMs'> {
  if (!pace) return { pieces: text.match(new RegExp(`.{1,${PIECE_LENGTH}}`, 'gsu')) ?? [], intervalMs: 0 };
  const pieces = Array.from({ length: pace.deltas }, (_, index) => ` ${index + 1}`);
  pieces[0] = `${text}\n\n1`;
  return { pieces, intervalMs: pace.intervalMs };
}

function resultsOf(
  calls: readonly SimulatedCall[],
  since: readonly Message[],
): (ToolResultMessage | undefined)[] {
  const byId = new Map<string, ToolResultMessage>();
  for (const { body } of since) {
    if (body.case === 'toolResult') byId.set(body.value.toolCallId, body.value);
  }
  return calls.map(({ toolCallId }) => byId.get(toolCallId));
}

/** What a message says in words, its parts joined by newlines. */
export function textOf(message: Message | undefined): string {
  const body = message?.body;
  switch (body?.case) {
    case 'user':
      return body.value.content
        .flatMap(({ part }) => (part.case === 'text' ? part.value.text : []))
        .join('\n');
    case 'assistant':
      return body.value.content
        .flatMap(({ part }) => {
          if (part.case === 'text') return part.value.text;
          return part.case === 'toolUse' ? part.value.inputJson : [];
        })
        .join('\n');
    case 'toolResult':
      return body.value.content;
    case 'summary':
      return body.value.text;
    default:
      return '';
  }
}
