import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { MessageSchema, ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type {
  AssistantPartSchema,
  Message,
  UserPartSchema,
} from '@agentx/gen/agentx/common/v1/message_pb.ts';

type AssistantPartInit = MessageInitShape<typeof AssistantPartSchema>;
type UserPartInit = MessageInitShape<typeof UserPartSchema>;

/** Builders of messages for tests of what reads histories. */
export function user(...parts: (string | UserPartInit)[]): Message {
  const content = parts.map((part): UserPartInit =>
    typeof part === 'string' ? { part: { case: 'text', value: { text: part } } } : part,
  );
  return create(MessageSchema, { body: { case: 'user', value: { content } } });
}

export function assistant(content: AssistantPartInit[], model = 'claude-sonnet-5'): Message {
  return create(MessageSchema, { body: { case: 'assistant', value: { content, model } } });
}

export function result(
  toolCallId: string,
  content: string,
  { isError = false, outcome = ToolOutcome.OK }: { isError?: boolean; outcome?: ToolOutcome } = {},
): Message {
  const value = { toolCallId, name: 'bash', content, isError, outcome };
  return create(MessageSchema, { body: { case: 'toolResult', value } });
}

export function error(reason: string): Message {
  return create(MessageSchema, { body: { case: 'error', value: { reason, message: 'failed' } } });
}

export function summary(content: string, throughPosition: number): Message {
  return create(MessageSchema, { body: { case: 'summary', value: { text: content, throughPosition } } });
}

export function text(value: string): AssistantPartInit {
  return { part: { case: 'text', value: { text: value } } };
}

export function thinking(value: string, signature: string, redacted = ''): AssistantPartInit {
  return { part: { case: 'thinking', value: { text: value, signature, redacted } } };
}

export function toolUse(toolCallId: string, inputJson: string): AssistantPartInit {
  return { part: { case: 'toolUse', value: { toolCallId, name: 'bash', inputJson } } };
}

export function serverTool(type: string, fields: Record<string, unknown>): AssistantPartInit {
  return { part: { case: 'serverTool', value: { type, blockJson: JSON.stringify({ type, ...fields }) } } };
}
