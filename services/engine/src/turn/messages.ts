import { create } from '@bufbuild/protobuf';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import { randomUUID } from 'node:crypto';
import {
  AssistantMessageSchema,
  AssistantPartSchema,
  MessageSchema,
  ToolOutcome,
  ToolResultMessageSchema,
} from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { AssistantPart, Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Answer, AnswerPart } from './answer.ts';

/** Makes the messages of one turn, each at the agent's next position. */
export interface MessageMaker {
  make(body: Message['body'], parentId?: string): Message;
}

export function createMessageMaker(agentId: string, turnId: string, firstPosition: number): MessageMaker {
  let position = firstPosition;
  return {
    make: (body, parentId = '') =>
      create(MessageSchema, {
        messageId: randomUUID(),
        agentId,
        turnId,
        position: position++,
        createTime: timestampNow(),
        parentId,
        body,
      }),
  };
}

/** The answer as a message's body. A tool call that was cut while it was written is left out: it never runs. */
export function assistantBody(answer: Answer): Message['body'] {
  return {
    case: 'assistant',
    value: create(AssistantMessageSchema, {
      content: answer.parts.filter(isWhole).map(toPart),
      ...(answer.usage && { usage: answer.usage }),
      model: answer.model,
      stopReason: answer.stopReason,
    }),
  };
}

const isWhole = (part: AnswerPart | undefined): part is AnswerPart =>
  part !== undefined && (part.kind !== 'tool_use' || part.complete);

function toPart(part: AnswerPart): AssistantPart {
  switch (part.kind) {
    case 'text':
      return create(AssistantPartSchema, { part: { case: 'text', value: { text: part.text } } });
    case 'thinking': {
      const { text, signature, redacted } = part;
      return create(AssistantPartSchema, {
        part: { case: 'thinking', value: { text, signature, redacted } },
      });
    }
    case 'tool_use': {
      const { toolCallId, name, inputJson } = part;
      return create(AssistantPartSchema, {
        part: { case: 'toolUse', value: { toolCallId, name, inputJson } },
      });
    }
    case 'server_tool': {
      const { type, blockJson } = part;
      return create(AssistantPartSchema, { part: { case: 'serverTool', value: { type, blockJson } } });
    }
  }
}

/** Why a tool call has no real result. */
export type Unfinished = 'never_ran' | 'unknown';

/** The result of a call that has none of its own, so that the history can be sent. */
export function closingResult(
  call: { readonly toolCallId: string; readonly name: string },
  why: Unfinished,
): Message['body'] {
  const content =
    why === 'unknown'
      ? 'Interrupted: it may have taken effect. Look at the state of things before you run it again.'
      : 'It did not run: the turn ended first.';
  return toolResultBody({
    ...call,
    content,
    isError: true,
    outcome: why === 'unknown' ? ToolOutcome.UNKNOWN : ToolOutcome.ERROR,
  });
}

export interface ToolResultFields {
  readonly toolCallId: string;
  readonly name: string;
  readonly content: string;
  readonly isError: boolean;
  readonly outcome: ToolOutcome;
}

export function toolResultBody(fields: ToolResultFields): Message['body'] {
  const { toolCallId, name, content, isError, outcome } = fields;
  return {
    case: 'toolResult',
    value: create(ToolResultMessageSchema, { toolCallId, name, content, isError, outcome }),
  };
}
