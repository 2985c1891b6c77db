import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { AddMessageRequest } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { Transaction } from '@agentx/service-kit';
import { randomUUID } from 'node:crypto';
import * as errors from './errors.ts';
import { lockLease } from './lease.ts';
import { msOf, timestamp } from './rows.ts';
import { insertRow, ofAgent } from './statements.ts';
import type { MessagePage, MessageRange } from './store.ts';

interface BodyRow {
  readonly body: Uint8Array;
}

/** Messages of a turn, or of none where its id is empty, at consecutive positions. */
export async function insertMessages(
  tx: Transaction,
  tenantId: string,
  of: { readonly agentId: string; readonly turnId: string },
  messages: readonly Message[],
  firstPosition: number,
  requestId: string | null = null,
): Promise<void> {
  for (const [index, message] of messages.entries()) {
    const position = firstPosition + index;
    checkMessage(message, of, position);
    await insertRow(tx, 'message', {
      tenant_id: tenantId,
      agent_id: of.agentId,
      position,
      message_id: message.messageId,
      turn_id: of.turnId,
      kind: message.body.case ?? '',
      request_id: requestId,
      create_time_ms: msOf(message.createTime) ?? 0,
      body: toBinary(MessageSchema, message),
    });
  }
}

/** A message says itself whose it is, and readers believe it. */
function checkMessage(
  message: Message,
  of: { readonly agentId: string; readonly turnId: string },
  position: number,
): void {
  const { agentId, turnId } = message;
  if (agentId !== of.agentId)
    throw errors.invalid('message.agent_id', `is "${agentId}"`, `the write is one of agent ${of.agentId}`);
  if (turnId !== of.turnId)
    throw errors.invalid('message.turn_id', `is "${turnId}"`, `the write is one of turn ${of.turnId}`);
  if (message.position !== position)
    throw errors.invalid(
      'message.position',
      `is ${message.position}`,
      `the next position of agent ${agentId} is ${position}`,
    );
  if (message.body.case === undefined)
    throw errors.invalid('message', 'has no body', 'set user, assistant, tool_result, error or summary');
}

/** A page ends with the message that reaches this size. */
const PAGE_BYTES = 8 * 1024 * 1024;

export async function getMessages(
  tx: Transaction,
  tenantId: string,
  range: MessageRange,
): Promise<MessagePage> {
  const { beyondPosition, newestFirst, limit } = range;
  const agent = ofAgent(tenantId, range.agentId);
  const order = newestFirst ? sql`desc` : sql`asc`;
  const beyond =
    beyondPosition === undefined
      ? sql``
      : newestFirst
        ? sql`and position < ${beyondPosition}`
        : sql`and position > ${beyondPosition}`;
  // Sizes first, so that only what the page holds is read.
  const rows = await tx.rows(
    sql<BodyRow & { readonly found: number }>`with found as (
          select position, octet_length(body) as size from ${tx.table('message')}
          where ${agent} ${beyond} and position > (select floor_position from ${tx.table('lease')} where ${agent})
          order by position ${order} limit ${limit + 1}
        ), sized as (
          select position, sum(size) over (order by position ${order}) - size as size_before from found
        )
        select message.body, (select count(*) from found) as found
        from sized join ${tx.table('message')} message on ${ofAgent(tenantId, range.agentId, 'message')}
          and message.position = sized.position
        where size_before < ${PAGE_BYTES} order by sized.position ${order} limit ${limit}`,
  );
  return {
    messages: rows.map((row) => fromBinary(MessageSchema, row.body)),
    more: (rows[0]?.found ?? 0) > rows.length,
  };
}

/** Adds a message outside a turn, and an event that tells of it. */
export async function addMessage(
  tx: Transaction,
  tenantId: string,
  request: AddMessageRequest,
): Promise<Message> {
  const { agentId, requestId } = request;
  const lease = await lockLease(tx, tenantId, agentId);
  const body = request.message?.body;
  if (body?.case === undefined)
    throw errors.invalid('message', 'has no body', 'set user, assistant, tool_result, error or summary');
  if (requestId !== '') {
    const [row] = await tx.rows(
      sql<BodyRow>`select body from ${tx.table('message')}
          where ${ofAgent(tenantId, agentId)} and request_id = ${requestId}`,
    );
    if (row !== undefined) return sameOrReused(fromBinary(MessageSchema, row.body), request);
  }
  if (lease.turn_id !== '') throw errors.turnInProgress(agentId, lease.turn_id);

  const message = create(MessageSchema, {
    messageId: randomUUID(),
    agentId,
    position: lease.next_position,
    createTime: timestamp(lease.now_ms),
    parentId: request.message?.parentId ?? '',
    body,
  });
  const key = requestId === '' ? null : requestId;
  await insertMessages(tx, tenantId, { agentId, turnId: '' }, [message], lease.next_position, key);
  const seq = lease.last_seq + 1;
  await insertRow(tx, 'event_batch', {
    tenant_id: tenantId,
    agent_id: agentId,
    epoch: lease.epoch,
    last_seq: seq,
    first_seq: seq,
    turn_id: '',
    engine_id: '',
    ends_turn: 0,
    events: toBinary(
      AgentEventBatchSchema,
      create(AgentEventBatchSchema, {
        events: [{ time: timestamp(lease.now_ms), payload: { case: 'message', value: message } }],
      }),
    ),
  });
  await tx.rows(
    sql`update ${tx.table('lease')} set last_seq = ${seq}, next_position = next_position + 1
        where ${ofAgent(tenantId, agentId)}`,
  );
  return message;
}

function sameOrReused(stored: Message, request: AddMessageRequest): Message {
  const before = toBinary(
    MessageSchema,
    create(MessageSchema, { body: stored.body, parentId: stored.parentId }),
  );
  const now = toBinary(
    MessageSchema,
    create(MessageSchema, {
      body: request.message?.body ?? { case: undefined },
      parentId: request.message?.parentId ?? '',
    }),
  );
  if (Buffer.compare(before, now) !== 0) throw errors.requestIdReused(request.agentId, request.requestId);
  return stored;
}

/** Empties a history: positions go on from where they were. */
export async function clearMessages(tx: Transaction, tenantId: string, agentId: string): Promise<number> {
  const lease = await lockLease(tx, tenantId, agentId);
  if (lease.turn_id !== '') throw errors.turnInProgress(agentId, lease.turn_id);
  const agent = ofAgent(tenantId, agentId);
  const [history] = await tx.rows(
    sql<{ count: number }>`select count(*) as count from ${tx.table('message')}
        where ${agent} and position > ${lease.floor_position}`,
  );
  await tx.rows(sql`update ${tx.table('lease')} set floor_position = next_position - 1 where ${agent}`);
  // Below the floor only those stay that a repeated AddMessage must find again.
  await tx.rows(sql`delete from ${tx.table('message')} where ${agent} and request_id is null`);
  return history?.count ?? 0;
}
