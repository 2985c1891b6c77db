import { toJson } from '@bufbuild/protobuf';
import { expect } from '@jest/globals';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { AssistantPart, Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { UsageGroupBy } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createCursorCodec, DEFAULT_TENANT } from '@agentx/service-kit';
import { messagesProblem, waitFor } from '@agentx/testing';
import { toAnthropicMessages } from './driver/history.ts';
import type { TestEngine } from './engine.fixtures.ts';

/** What must hold of an agent's log whatever happened; ask once its turns have ended. */
export async function expectSound(on: TestEngine, agentId: string): Promise<void> {
  const log = await on.subscribe({ agentId });
  const { messages } = await on.client.listMessages({ agentId, pageSize: 1000 });
  expectGapless(agentId, log);
  expectEveryCallAnswered(messages);
  expectDeltasMatchMessages(log, messages);
  expect(on.driver.problems).toEqual([]);
  await expectCountedOnce(on, agentId);
}

/** I2 and I3: sequence numbers without gaps, epochs that never decrease. */
function expectGapless(agentId: string, log: readonly AgentEvent[]): void {
  const codec = createCursorCodec(DEFAULT_TENANT, agentId);
  const places = log.map(({ cursor }) => codec.decode(cursor));
  expect(places.map(({ seq }) => seq)).toEqual(log.map((_, index) => BigInt(index + 1)));
  const epochs = places.map(({ epoch }) => epoch);
  expect(epochs).toEqual([...epochs].sort((left, right) => Number(left - right)));
}

/** I4: a history that can be sent, each call with exactly one result right after it. */
function expectEveryCallAnswered(messages: readonly Message[]): void {
  expect(messages.map(({ position }) => position)).toEqual(messages.map((_, index) => index + 1));
  const open = new Map<string, string>();
  for (const { messageId, parentId, body } of messages) {
    if (body.case === 'assistant') {
      expect([...open.keys()]).toEqual([]);
      for (const { part } of body.value.content)
        if (part.case === 'toolUse') open.set(part.value.toolCallId, messageId);
    } else if (body.case === 'toolResult') {
      expect(parentId).toBe(open.get(body.value.toolCallId));
      open.delete(body.value.toolCallId);
    }
  }
  expect([...open.keys()]).toEqual([]);
  const sendable = toAnthropicMessages(messages, 'claude-sonnet-4-5');
  if (sendable.length > 0) expect(messagesProblem(sendable)).toBeUndefined();
}

/** I7: the log tells each message once, and the deltas of the last attempt at a step are what its message says. */
function expectDeltasMatchMessages(log: readonly AgentEvent[], messages: readonly Message[]): void {
  const told = log.flatMap(({ payload }) => (payload.case === 'message' ? [payload.value] : []));
  const json = (message: Message) => toJson(MessageSchema, message);
  expect(told.map(json)).toEqual(messages.map(json));
  for (const event of log) {
    if (event.payload.case !== 'message' || event.payload.value.body.case !== 'assistant') continue;
    const { turnId, step, attempt } = event;
    const deltas = log.filter(
      (other) => other.turnId === turnId && other.step === step && other.attempt === attempt,
    );
    const later = log.filter((other) => other.turnId === turnId && other.step === step);
    expect(Math.max(...later.map((other) => other.attempt))).toBe(attempt);
    expect(joinDeltas(deltas)).toEqual(event.payload.value.body.value.content.map(partText));
  }
}

/** The parts that a client puts together from deltas, in order; those of calls that were cut are left out. */
export function joinDeltas(events: readonly AgentEvent[]): string[] {
  const parts = new Map<number, string>();
  const calls = new Map<string, number>();
  const written = new Set<number>();
  const add = (part: number, text: string) => parts.set(part, (parts.get(part) ?? '') + text);
  for (const { payload } of events) {
    if (payload.case === 'textDelta' || payload.case === 'thinkingDelta')
      add(payload.value.part, payload.value.text);
    if (payload.case === 'toolUseStart') {
      calls.set(payload.value.toolCallId, payload.value.part);
      add(payload.value.part, '');
    }
    if (payload.case === 'inputJsonDelta')
      add(calls.get(payload.value.toolCallId) ?? NaN, payload.value.partialJson);
    if (payload.case === 'toolUseStop') written.add(calls.get(payload.value.toolCallId) ?? NaN);
  }
  const cut = new Set([...calls.values()].filter((part) => !written.has(part)));
  return [...parts.entries()]
    .filter(([part]) => !cut.has(part))
    .sort(([left], [right]) => left - right)
    .map(([, text]) => text);
}

function partText({ part }: AssistantPart): string {
  switch (part.case) {
    case 'text':
    case 'thinking':
      return part.value.text;
    case 'toolUse':
      return part.value.inputJson;
    default:
      throw new Error(`no deltas tell of a part of kind ${part.case ?? 'none'}`);
  }
}

/** I6: every ended turn is counted once, with the figures that the turn itself shows. */
async function expectCountedOnce(on: TestEngine, agentId: string): Promise<void> {
  const { turns } = await on.client.listTurns({ agentId, pageSize: 1000 });
  expect(turns.map(({ status }) => status)).toEqual(turns.map(() => TurnStatus.ENDED));
  const count = async () => on.client.getUsage({ agentId, groupBy: UsageGroupBy.TURN });
  await waitFor(async () => (await count()).groups.length === turns.length, {
    what: 'every turn to be counted',
  });
  const { groups, total } = await count();
  expect(total?.turns).toBe(BigInt(turns.length));
  for (const { turnId, stats } of turns) {
    const group = groups.find(({ key }) => key === turnId);
    expect(group).toMatchObject({ turns: 1n, usage: stats?.usage });
    expect(group?.costMicroUsd ?? 0n).toBe(stats?.costMicroUsd ?? 0n);
  }
}

const ENVELOPE = new Set(['time', 'cursor', 'agentId', 'turnId', 'engineId']);

/** An event without what differs from run to run, for lists of expected events. */
export function plain(event: AgentEvent): unknown {
  const json = toJson(AgentEventSchema, event) as Record<string, unknown>;
  return Object.fromEntries(Object.entries(json).filter(([key]) => !ENVELOPE.has(key)));
}

/** The kinds of events in order, runs of the same delta as one. */
export function kinds(events: readonly AgentEvent[]): string[] {
  return events.flatMap(({ payload }, index) =>
    payload.case === undefined ||
    (payload.case.endsWith('Delta') && events[index - 1]?.payload.case === payload.case)
      ? []
      : [payload.case === 'message' ? `message ${payload.value.body.case ?? ''}` : payload.case],
  );
}

/** The text of events as they are compared. */
export const asJson = (events: readonly AgentEvent[]): unknown[] =>
  events.map((event) => toJson(AgentEventSchema, event));

/** Events that are in the log. */
export const logged = (events: readonly AgentEvent[]): AgentEvent[] =>
  events.filter(({ cursor }) => cursor !== '');
