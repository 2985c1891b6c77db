import { expect, test } from '@jest/globals';
import { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { EMPTY_ANSWER } from './answer.ts';
import type { AnswerPart } from './answer.ts';
import { assistantBody, closingResult, createMessageMaker } from './messages.ts';

test('messages get an id each and positions one after the other', () => {
  const maker = createMessageMaker('a1', 't1', 7);
  const body = { case: undefined };
  const first = maker.make(body);
  const second = maker.make(body, first.messageId);
  expect(first).toMatchObject({ agentId: 'a1', turnId: 't1', position: 7, parentId: '' });
  expect(second).toMatchObject({ position: 8, parentId: first.messageId });
  expect(second.messageId).not.toBe(first.messageId);
});

test('an answer keeps all but calls that were cut, and gaps', () => {
  const parts: AnswerPart[] = [
    { kind: 'thinking', text: 'hm', signature: 's', redacted: '' },
    { kind: 'text', text: 'a' },
    { kind: 'tool_use', toolCallId: 'c1', name: 'bash', inputJson: '{}', complete: true },
    { kind: 'tool_use', toolCallId: 'c2', name: 'bash', inputJson: '{', complete: false },
  ];
  parts[5] = { kind: 'server_tool', type: 'search', blockJson: '{"x":1}' };
  const body = assistantBody({ ...EMPTY_ANSWER, model: 'm', parts, stopReason: StopReason.MAX_TOKENS });
  expect(body.value).toMatchObject({
    model: 'm',
    stopReason: StopReason.MAX_TOKENS,
    content: [
      { part: { case: 'thinking', value: { text: 'hm', signature: 's', redacted: '' } } },
      { part: { case: 'text', value: { text: 'a' } } },
      { part: { case: 'toolUse', value: { toolCallId: 'c1', name: 'bash', inputJson: '{}' } } },
      { part: { case: 'serverTool', value: { type: 'search', blockJson: '{"x":1}' } } },
    ],
  });
  expect(body.value).toHaveProperty('content.length', 4);
});

test.each([
  ['never_ran', ToolOutcome.ERROR, 'did not run'],
  ['unknown', ToolOutcome.UNKNOWN, 'may have taken effect'],
] as const)('a call that %s is answered as an error that says so', (why, outcome, content) => {
  expect(closingResult({ toolCallId: 'c1', name: 'bash' }, why)).toMatchObject({
    case: 'toolResult',
    value: {
      toolCallId: 'c1',
      name: 'bash',
      isError: true,
      outcome,
      content: expect.stringContaining(content),
    },
  });
});
