import { fromBinary } from '@bufbuild/protobuf';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { Row, Stored } from './stored-rows.ts';

/**
 * What must hold of the rows of a stopped system, by the names of docs and faults: I1 user messages are neither lost nor
 * doubled, I2 the log has no gap, I3 epochs never decrease, I4 each tool call has exactly one result before anything
 * else is said, I6 each turn is counted once. All turns must have ended and the outbox be empty.
 *
 * @param acknowledged request ids that clients saw accepted, by agent
 * @returns what does not hold; empty when all does
 */
export function checkStored(
  stored: Stored,
  acknowledged: Readonly<Record<string, readonly string[]>> = {},
): string[] {
  const agents = [...new Set(table(stored, 'session.turn').map((row) => text(row, 'agent_id')))];
  return [
    ...Object.entries(acknowledged).flatMap(([agentId, ids]) =>
      ids.flatMap((requestId) => userMessageFaults(stored, agentId, requestId)),
    ),
    ...agents.flatMap((agentId) => [
      ...logFaults(stored, agentId),
      ...historyFaults(stored, agentId),
      ...turnFaults(stored, agentId),
    ]),
    ...table(stored, 'session.outbox').map((row) => `I6: ${text(row, 'outbox_id')} is still in the outbox`),
  ];
}

function userMessageFaults(stored: Stored, agentId: string, requestId: string): string[] {
  const turns = table(stored, 'session.turn').filter(
    (row) => row['agent_id'] === agentId && row['request_id'] === requestId,
  );
  const [turn] = turns;
  if (turn === undefined || turns.length > 1)
    return [`I1: request ${requestId} of ${agentId} has ${turns.length} turns`];
  const said = messagesOf(stored, agentId).filter(
    ({ turnId, body }) => turnId === turn['turn_id'] && body.case === 'user',
  );
  return said.length === 1 ? [] : [`I1: request ${requestId} of ${agentId} has ${said.length} user messages`];
}

function logFaults(stored: Stored, agentId: string): string[] {
  const faults: string[] = [];
  const rows = ofAgent(stored, 'session.event_batch', agentId);
  let before = { epoch: 0, lastSeq: 0 };
  for (const row of rows) {
    const [epoch, first, last] = [number(row, 'epoch'), number(row, 'first_seq'), number(row, 'last_seq')];
    if (first !== before.lastSeq + 1)
      faults.push(`I2: the log of ${agentId} goes on with ${first} after ${before.lastSeq}`);
    const { events } = fromBinary(AgentEventBatchSchema, bytes(row, 'events'));
    if (events.length !== last - first + 1)
      faults.push(`I2: batch ${first}-${last} of ${agentId} holds ${events.length} events`);
    if (epoch < before.epoch) faults.push(`I3: epoch ${epoch} of ${agentId} comes after ${before.epoch}`);
    before = { epoch, lastSeq: last };
  }
  const [lease] = ofAgent(stored, 'session.lease', agentId);
  if (lease === undefined || number(lease, 'last_seq') !== before.lastSeq)
    faults.push(`I2: the lease of ${agentId} does not end with the log's last number, ${before.lastSeq}`);
  return faults;
}

function historyFaults(stored: Stored, agentId: string): string[] {
  const faults: string[] = [];
  let open = new Set<string>();
  for (const [index, { position, body }] of messagesOf(stored, agentId).entries()) {
    if (position !== index + 1) faults.push(`I1: position ${position} of ${agentId} should be ${index + 1}`);
    if (body.case === 'toolResult') {
      if (!open.delete(body.value.toolCallId))
        faults.push(`I4: the result of ${body.value.toolCallId} of ${agentId} answers no open call`);
      continue;
    }
    for (const id of open) faults.push(`I4: ${body.case ?? 'nothing'} of ${agentId} comes before the result of ${id}`);
    open = new Set(body.case === 'assistant' ? callsOf(body.value) : []);
  }
  for (const id of open) faults.push(`I4: the call ${id} of ${agentId} has no result`);
  return faults;
}

const callsOf = ({ content }: Extract<Message['body'], { case: 'assistant' }>['value']) =>
  content.flatMap(({ part }) => (part.case === 'toolUse' ? [part.value.toolCallId] : []));

function turnFaults(stored: Stored, agentId: string): string[] {
  return ofAgent(stored, 'session.turn', agentId).flatMap((turn) => {
    const turnId = text(turn, 'turn_id');
    if (turn['status'] !== TurnStatus.ENDED) return [`I8: turn ${turnId} of ${agentId} has not ended`];
    const counted = table(stored, 'stats.counted_turn').filter((row) => row['turn_id'] === turnId);
    const [row] = counted;
    if (row === undefined || counted.length > 1)
      return [`I6: turn ${turnId} of ${agentId} is counted ${counted.length} times`];
    const stats = fromBinary(TurnStatsSchema, bytes(turn, 'stats'));
    const expected = [stats.usage?.inputTokens ?? 0n, stats.usage?.outputTokens ?? 0n].map(Number);
    const actual = [number(row, 'input_tokens'), number(row, 'output_tokens')];
    return expected.join() === actual.join()
      ? []
      : [`I6: turn ${turnId} of ${agentId} used ${expected.join('+')} tokens, ${actual.join('+')} were counted`];
  });
}

function table(stored: Stored, name: string): readonly Row[] {
  const rows = stored[name];
  if (rows === undefined) throw new Error(`there is no table ${name}, only ${Object.keys(stored).join(', ')}`);
  return rows;
}

const ofAgent = (stored: Stored, name: string, agentId: string) =>
  table(stored, name).filter((row) => row['agent_id'] === agentId);

const messagesOf = (stored: Stored, agentId: string): Message[] =>
  ofAgent(stored, 'session.message', agentId)
    .map((row) => fromBinary(MessageSchema, bytes(row, 'body')))
    .sort((one, other) => one.position - other.position);

const text = (row: Row, column: string): string => String(row[column]);
const number = (row: Row, column: string): number => Number(row[column]);

function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array) && !Buffer.isBuffer(value)) throw new Error(`${column} holds no bytes`);
  return value;
}
