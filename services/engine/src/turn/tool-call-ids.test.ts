import { describe, expect, test } from '@jest/globals';
import { create } from '@bufbuild/protobuf';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { DriverEvent } from '../driver/driver.ts';
import { createToolCallIds } from './tool-call-ids.ts';

const answered = (turnId: string, toolCallId: string) =>
  create(MessageSchema, {
    turnId,
    body: { case: 'assistant', value: { content: [{ part: { case: 'toolUse', value: { toolCallId } } }] } },
  });

const call = (part: number, toolCallId: string): DriverEvent[] => [
  { type: 'tool_use_start', part, toolCallId, name: 'bash' },
  { type: 'input_json_delta', part, toolCallId, partialJson: '{}' },
  { type: 'tool_use_stop', part, toolCallId },
];

const idsOf = (events: readonly DriverEvent[]) =>
  events.map((event) => ('toolCallId' in event ? event.toolCallId : ''));

describe('ids of tool calls', () => {
  test('stay as they are while they are unique, also where another turn used them', () => {
    const unique = createToolCallIds([answered('other', 'a')], 'turn');
    expect(idsOf([...call(0, 'a'), ...call(1, 'b')].map(unique))).toEqual(['a', 'a', 'a', 'b', 'b', 'b']);
  });

  test('are made unique within the turn, in all events of the call', () => {
    const unique = createToolCallIds([answered('turn', 'call_0')], 'turn');
    expect(idsOf([...call(0, 'call_0'), ...call(1, 'call_0')].map(unique))).toEqual([
      ...Array<string>(3).fill('call_0_2'),
      ...Array<string>(3).fill('call_0_3'),
    ]);
  });

  test('are given where they are missing, and cut where they are too long', () => {
    const unique = createToolCallIds([], 'turn');
    const [missing, , , long] = idsOf([...call(0, ''), ...call(1, 'x'.repeat(500))].map(unique));
    expect(missing).toBe('call');
    expect(long).toBe('x'.repeat(200));
  });

  test('other events pass', () => {
    const event: DriverEvent = { type: 'text_delta', part: 0, text: 'hi' };
    expect(createToolCallIds([], 'turn')(event)).toBe(event);
  });
});
