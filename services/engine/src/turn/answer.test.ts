import { create } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { StopReason, TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { DriverEvent } from '../driver/driver.ts';
import { EMPTY_ANSWER, foldAnswer } from './answer.ts';
import type { Answer } from './answer.ts';
import type { Payload } from './payload.ts';

function foldAll(events: readonly DriverEvent[]): { answer: Answer; said: Payload[] } {
  let answer = EMPTY_ANSWER;
  const said: Payload[] = [];
  for (const event of events) {
    const [next, outputs] = foldAnswer(answer, event);
    answer = next;
    said.push(...outputs);
  }
  return { answer, said };
}

const usage = create(TokenUsageSchema, { inputTokens: 5n });
const final = create(TokenUsageSchema, { inputTokens: 5n, outputTokens: 9n });

test('an answer with every kind of part', () => {
  const { answer, said } = foldAll([
    { type: 'message_start', model: 'm', usage },
    { type: 'thinking_delta', part: 0, text: 'h' },
    { type: 'thinking_delta', part: 0, text: 'm' },
    { type: 'signature_delta', part: 0, signature: 's' },
    { type: 'redacted_thinking', part: 1, data: 'r' },
    { type: 'text_delta', part: 2, text: 'a' },
    { type: 'text_delta', part: 2, text: 'b' },
    { type: 'server_tool', part: 3, blockType: 'search', blockJson: '{}' },
    { type: 'tool_use_start', part: 4, toolCallId: 'c1', name: 'bash' },
    { type: 'input_json_delta', part: 4, toolCallId: 'c1', partialJson: '{"a"' },
    { type: 'input_json_delta', part: 4, toolCallId: 'c1', partialJson: ':1}' },
    { type: 'tool_use_stop', part: 4, toolCallId: 'c1' },
    { type: 'tool_use_start', part: 5, toolCallId: 'c2', name: 'bash' },
    { type: 'message_delta', stopReason: StopReason.MAX_TOKENS, usage: final },
    { type: 'message_stop' },
  ]);
  expect(answer).toEqual({
    model: 'm',
    usage: final,
    stopReason: StopReason.MAX_TOKENS,
    responding: true,
    complete: true,
    parts: [
      { kind: 'thinking', text: 'hm', signature: 's', redacted: '' },
      { kind: 'thinking', text: '', signature: '', redacted: 'r' },
      { kind: 'text', text: 'ab' },
      { kind: 'server_tool', type: 'search', blockJson: '{}' },
      { kind: 'tool_use', toolCallId: 'c1', name: 'bash', inputJson: '{"a":1}', complete: true },
      { kind: 'tool_use', toolCallId: 'c2', name: 'bash', inputJson: '', complete: false },
    ],
  });
  expect(said).toEqual([
    { case: 'messageStart', value: { model: 'm', usage } },
    { case: 'thinkingDelta', value: { text: 'h', part: 0 } },
    { case: 'thinkingDelta', value: { text: 'm', part: 0 } },
    { case: 'responding', value: {} },
    { case: 'textDelta', value: { text: 'a', part: 2 } },
    { case: 'textDelta', value: { text: 'b', part: 2 } },
    { case: 'toolUseStart', value: { toolCallId: 'c1', name: 'bash', part: 4 } },
    { case: 'inputJsonDelta', value: { toolCallId: 'c1', partialJson: '{"a"' } },
    { case: 'inputJsonDelta', value: { toolCallId: 'c1', partialJson: ':1}' } },
    { case: 'toolUseStop', value: { toolCallId: 'c1' } },
    { case: 'toolUseStart', value: { toolCallId: 'c2', name: 'bash', part: 5 } },
    { case: 'messageDelta', value: { stopReason: StopReason.MAX_TOKENS, usage: final } },
    { case: 'messageStop', value: {} },
  ]);
});

test('an answer that begins with a tool call responds too', () => {
  const { said } = foldAll([{ type: 'tool_use_start', part: 0, toolCallId: 'c1', name: 'bash' }]);
  expect(said.map((payload) => payload.case)).toEqual(['responding', 'toolUseStart']);
});

const piece = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 5 });
const part = fc.record({
  kind: fc.constantFrom('text', 'thinking', 'tool'),
  pieces: fc.array(piece, { minLength: 1, maxLength: 5 }),
});

test('the deltas joined are the parts, and an earlier answer never changes', () => {
  fc.assert(
    fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
      const events = parts.flatMap(({ kind, pieces }, index): DriverEvent[] => {
        const toolCallId = `c${index}`;
        if (kind === 'text') return pieces.map((text) => ({ type: 'text_delta', part: index, text }));
        if (kind === 'thinking') return pieces.map((text) => ({ type: 'thinking_delta', part: index, text }));
        return [
          { type: 'tool_use_start', part: index, toolCallId, name: 'bash' },
          ...pieces.map(
            (partialJson) => ({ type: 'input_json_delta', part: index, toolCallId, partialJson }) as const,
          ),
          { type: 'tool_use_stop', part: index, toolCallId },
        ];
      });
      const half = foldAll(events.slice(0, events.length >> 1)).answer;
      const kept = structuredClone(half);
      const { answer, said } = foldAll(events);
      foldAnswer(half, { type: 'text_delta', part: 0, text: 'more' });
      expect(half).toEqual(kept);

      const joined = new Map<number, string>();
      const add = (index: number, text: string) => joined.set(index, (joined.get(index) ?? '') + text);
      for (const payload of said) {
        if (payload.case === 'textDelta' || payload.case === 'thinkingDelta')
          add(payload.value.part ?? NaN, payload.value.text ?? '');
        if (payload.case === 'inputJsonDelta')
          add(Number(payload.value.toolCallId?.slice(1)), payload.value.partialJson ?? '');
      }
      const texts = answer.parts.map((made) =>
        made.kind === 'tool_use' ? made.inputJson : made.kind === 'server_tool' ? '' : made.text,
      );
      expect(texts).toEqual(parts.map((_, index) => joined.get(index)));
      expect(said.filter((payload) => payload.case === 'responding').length).toBeLessThanOrEqual(1);
    }),
  );
});
