/** The course of a turn: how it begins, what its steps may be, how it ends. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { BusyPolicy } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { codeOf, metadataOf } from '@agentx/service-kit';
import { Code } from '@connectrpc/connect';
import {
  begin,
  beginRequest,
  expireLeases,
  refusal,
  rowsOf,
  send,
  takeOver,
  userMessage,
} from './harness.ts';
import type { StoreUnderTest } from './harness.ts';

export function beginTests(get: () => StoreUnderTest): void {
  test('a turn begins with its message, its first events and a lease', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const request = beginRequest('agent', { maxOutputTokens: 4_294_967_295, maxIterations: 3 });
    const { outcome } = await store.beginTurn(tenantId, request);
    if (outcome.case !== 'begun') throw new Error(`the turn did not begin: ${outcome.case}`);
    const { turn, lease, batch } = outcome.value;
    expect(lease).toMatchObject({ ref: { agentId: 'agent', epoch: 1n }, lastSeq: 2n, nextPosition: 2 });
    const events = fromBinary(AgentEventBatchSchema, batch?.events ?? new Uint8Array()).events;
    expect(events.map(({ payload }) => payload.case)).toEqual(['turnStarted', 'message']);
    expect(batch).toMatchObject({ firstSeq: 1n, lastSeq: 2n, epoch: 1n, turnId: lease?.ref?.turnId });

    const stored = await store.getTurn(tenantId, 'agent', lease?.ref?.turnId ?? '');
    expect(stored).toEqual(turn);
    expect(stored).toMatchObject({
      turn: { requestId: request.requestId, status: TurnStatus.RUNNING, model: 'some-model', firstPosition: 1 },
      maxOutputTokens: 4_294_967_295,
      maxIterations: 3,
    });
    const { messages } = await store.getMessages(tenantId, allMessages);
    expect(messages).toMatchObject([
      { position: 1, turnId: lease?.ref?.turnId, body: { case: 'user', value: request.message } },
    ]);
  });

  test('the same request again finds its turn, from another engine and after its end', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent', { requestId: 'r' });
    const again = () =>
      store.beginTurn(tenantId, beginRequest('agent', { requestId: 'r', engineId: 'engine-2' }));
    expect((await again()).outcome).toMatchObject({
      case: 'exists',
      value: { turn: { turn: { turnId: holder.ref.turnId, status: TurnStatus.RUNNING } } },
    });
    await send(holder.end());
    expect((await again()).outcome).toMatchObject({
      case: 'exists',
      value: { turn: { turn: { turnId: holder.ref.turnId, status: TurnStatus.ENDED } } },
    });
    expect((await store.listTurns(tenantId, 'agent', undefined, 10)).length).toBe(1);
  });

  test('the same acquisition again is given its lost answer', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const request = beginRequest('agent');
    const first = await store.beginTurn(tenantId, request);
    await expireLeases(database, tenantId);
    expect(await store.beginTurn(tenantId, request)).toEqual(first);
    // Its holder learns of the lease only now, so it lasts from now.
    const rows = await rowsOf(database, tenantId);
    expect(Number(rows.lease[0]?.['expires_at_ms'])).toBeGreaterThan(Date.now());
    expect(rows.lease.length + rows.turn.length + rows.message.length + rows.event_batch.length).toBe(4);
  });

  test('an acquisition that was given up or lost is not given again', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const acquisition = { requestId: 'r', acquisitionId: 'a' };
    const request = beginRequest('agent', acquisition);
    const holder = await begin(store, tenantId, 'agent', acquisition);
    await holder.release();
    expect((await store.beginTurn(tenantId, request)).outcome.case).toBe('exists');
    await takeOver(store, tenantId, holder.ref);
    expect((await store.beginTurn(tenantId, request)).outcome.case).toBe('exists');
  });

  test('a request id with another body is refused and changes nothing', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    await begin(store, tenantId, 'agent', { requestId: 'r' });
    const before = await rowsOf(database, tenantId);
    const other = beginRequest('agent', { requestId: 'r', requestHash: new Uint8Array(32).fill(2) });
    const error: unknown = await store.beginTurn(tenantId, other).catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe(Code.InvalidArgument);
    expect(await refusal(Promise.reject(error as Error))).toBe('REQUEST_ID_REUSED');
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });

  test('a busy agent refuses another request and names the turn', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    const before = await rowsOf(database, tenantId);
    const error: unknown = await store
      .beginTurn(tenantId, beginRequest('agent'))
      .catch((reason: unknown) => reason);
    expect(await refusal(Promise.reject(error as Error))).toBe('TURN_IN_PROGRESS');
    expect(metadataOf(error)).toEqual({ agent_id: 'agent', turn_id: holder.ref.turnId });
    const queued = beginRequest('agent', { onBusy: BusyPolicy.ENQUEUE });
    expect(await refusal(store.beginTurn(tenantId, queued))).toBe('NOT_IMPLEMENTED');
    expect(await rowsOf(database, tenantId)).toEqual(before);
    await send(holder.end());
    await begin(store, tenantId, 'agent');
  });

  test('two tenants with the same agent and request know nothing of each other', async () => {
    const { store } = get();
    const [one, other] = [randomUUID(), randomUUID()];
    const mine = await begin(store, one, 'agent', { requestId: 'r' });
    const theirs = await begin(store, other, 'agent', { requestId: 'r' });
    expect(mine.ref.turnId).not.toBe(theirs.ref.turnId);
    await send(mine.append(5), theirs.append(2));
    await send(mine.end());
    expect((await store.getTurn(other, 'agent', theirs.ref.turnId)).turn?.status).toBe(TurnStatus.RUNNING);
    expect(await refusal(store.getTurn(other, 'agent', mine.ref.turnId))).toBe('TURN_NOT_FOUND');
    expect(await refusal(store.listSteps(other, 'agent', mine.ref.turnId))).toBe('TURN_NOT_FOUND');
    expect(await refusal(takeOver(store, other, mine.ref))).toBe('TURN_NOT_FOUND');
    expect(await store.ackOutbox(other, [mine.ref.turnId])).toBe(0);
    expect(await store.clearMessages(one, 'agent')).toBe(1);
    expect((await store.getMessages(other, allMessages)).messages.length).toBe(1);
    await send(theirs.end());
  });
}

const allMessages = { agentId: 'agent', beyondPosition: undefined, newestFirst: false, limit: 100 };

export function stepTests(get: () => StoreUnderTest): void {
  test('the messages of a turn stand in the history without gaps, its steps in order', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await send(
      holder.startAttempt(1, 1),
      holder.failAttempt(1, 1),
      holder.startAttempt(1, 2),
      holder.answer(['call-2', 'call-1', 'call-3'], 1, 2),
      holder.startTool('call-1'),
      holder.finishTool('call-1'),
      holder.startTool('call-2'),
      holder.finishTool('call-2'),
      holder.finishTool('call-3', { run: 0 }),
      holder.startAttempt(2, 1),
      holder.end({ answerStep: 2 }),
    );
    const { messages } = await store.getMessages(tenantId, allMessages);
    expect(messages.map(({ position, body }) => [position, body.case])).toEqual([
      [1, 'user'],
      [2, 'assistant'],
      [3, 'toolResult'],
      [4, 'toolResult'],
      [5, 'toolResult'],
      [6, 'assistant'],
    ]);
    const steps = await store.listSteps(tenantId, 'agent', holder.ref.turnId);
    expect(
      steps.map(({ kind }) => (kind.case === 'toolRun' ? kind.value.toolCallId : kind.value?.attempt)),
    ).toEqual([1, 2, 'call-2', 'call-1', 'call-3', 1]);
    expect(steps[0]?.kind.value).toMatchObject({ errorReason: 'MODEL_OVERLOADED' });
    expect(steps[1]?.kind.value).toMatchObject({ costMicroUsd: 7n, usage: { inputTokens: 3n } });
    const { turn, end, workingDirectory } = await store.getTurn(tenantId, 'agent', holder.ref.turnId);
    expect(turn).toMatchObject({
      status: TurnStatus.ENDED,
      stopReason: StopReason.END_TURN,
      stats: { toolCalls: 2 },
    });
    expect(end).toMatchObject({ epoch: 1n, seq: holder.seq });
    expect(workingDirectory).toBe('src');
  });

  test('no model call while a tool call has no result', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await send(holder.startAttempt(), holder.answer(['call-1', 'call-2']), holder.startTool('call-1'));
    await send(holder.finishTool('call-1'));
    const place = holder.seq;
    expect(await refusal(holder.startAttempt(2).send())).toBe('TOOL_RESULT_MISSING');
    holder.seq = place;
    await send(holder.finishTool('call-2', { run: 0 }), holder.startAttempt(2));
  });

  test('a tool starts once and has one result, that of its own call and run', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await send(holder.startAttempt(), holder.answer(['call-1', 'call-2']), holder.startTool('call-1'));
    const { seq, position } = holder;
    const before = await rowsOf(database, tenantId);
    const refused = async (write: { send(): Promise<unknown> }) => {
      expect(await refusal(write.send())).toBe('INVALID_REQUEST');
      Object.assign(holder, { seq, position });
    };
    await refused(holder.startTool('call-1'));
    await refused(holder.startTool('call-1', 2));
    await refused(holder.startTool('call-9'));
    await refused(holder.finishTool('call-1', { run: 2 }));
    await refused(holder.finishTool('call-1', { run: 0 }));
    await refused(holder.finishTool('call-2', { run: 1 }));
    await refused(holder.finishTool('call-1', { resultOf: 'call-2' }));
    expect(await rowsOf(database, tenantId)).toEqual(before);
    await send(holder.finishTool('call-1'));
    Object.assign(holder, { seq: seq + 1n, position: position + 1 });
    expect(await refusal(holder.finishTool('call-1').send())).toBe('INVALID_REQUEST');
  });

  test('an attempt or a tool call under an id that is taken is refused as such', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await send(holder.startAttempt());
    let { seq } = holder;
    expect(await refusal(holder.startAttempt(1, 1).send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: 2 });
    expect(await refusal(holder.answer(['call-1', 'call-1']).send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: 2 });
    expect(await refusal(holder.answer([], 1, 2).send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: 2 });
    await send(holder.answer(['call-1']));
    seq = holder.seq;
    expect(await refusal(holder.answer([]).send())).toBe('INVALID_REQUEST');
  });

  test('a message goes to the next position of the agent and turn that hold the lease, nowhere else', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    await send((await begin(store, tenantId, 'other')).end());
    const holder = await begin(store, tenantId, 'agent');
    await send(holder.startAttempt(), holder.answer(['call-1']), holder.startTool('call-1'));
    const { seq, position } = holder;
    const before = await rowsOf(database, tenantId);
    const misplaced = holder.finishTool('call-1', { agentId: 'other' });
    expect(await refusal(misplaced.send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: position + 1 });
    expect(await refusal(holder.finishTool('call-1').send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: position - 1 });
    expect(await refusal(holder.finishTool('call-1').send())).toBe('INVALID_REQUEST');
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });

  test('a turn ends with every tool call answered, and only by EndTurn', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await send(holder.startAttempt(), holder.answer(['call-1', 'call-2']), holder.startTool('call-1'));
    const { seq, position } = holder;
    const before = await rowsOf(database, tenantId);
    expect(await refusal(holder.end({ results: ['call-1'] }).send())).toBe('TOOL_RESULT_MISSING');
    expect(await rowsOf(database, tenantId)).toEqual(before);
    Object.assign(holder, { seq, position });
    await send(holder.end({ results: ['call-1', 'call-2'] }));
    expect((await store.getMessages(tenantId, allMessages)).messages.map(({ position: at }) => at)).toEqual([
      1, 2, 3, 4,
    ]);
  });

  test('the model call of a former holder is abandoned and cannot be committed', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    await send(former.startAttempt());
    await expireLeases(database, tenantId);
    const next = await takeOver(store, tenantId, former.ref);
    const { seq, position } = next;
    expect(await refusal(next.answer([], 1, 1).send())).toBe('INVALID_REQUEST');
    Object.assign(next, { seq, position });
    await send(next.startAttempt(1, 2), next.answer([], 1, 2), next.end());
  });

  test('every write of a turn lasts as long as a lease may, no longer', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const before = await rowsOf(database, tenantId);
    for (const ms of [0, 99, 600_001, -5, 1e15]) {
      const request = beginRequest('agent', { leaseTtl: durationFromMs(ms) });
      expect(await refusal(store.beginTurn(tenantId, request))).toBe('INVALID_REQUEST');
    }
    expect(await rowsOf(database, tenantId)).toEqual(before);
  });
}

export function historyTests(get: () => StoreUnderTest): void {
  test('a message added outside a turn takes the next position and an event, once', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const first = await store.addMessage(tenantId, userMessage('agent', 'one', 'r1'));
    expect(await store.addMessage(tenantId, userMessage('agent', 'one', 'r1'))).toEqual(first);
    expect(await refusal(store.addMessage(tenantId, userMessage('agent', 'two', 'r1')))).toBe(
      'REQUEST_ID_REUSED',
    );
    const second = await store.addMessage(tenantId, userMessage('agent', 'one'));
    const third = await store.addMessage(tenantId, userMessage('agent', 'one'));
    expect([first, second, third].map(({ position }) => position)).toEqual([1, 2, 3]);
    const holder = await begin(store, tenantId, 'agent');
    expect([holder.seq, holder.position]).toEqual([5n, 5]);
    const { messages } = await store.getMessages(tenantId, allMessages);
    expect(messages.slice(0, 3)).toEqual([first, second, third]);
  });

  test('a running turn keeps others from the history; an added message is still found', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const added = await store.addMessage(tenantId, userMessage('agent', 'one', 'r1'));
    const holder = await begin(store, tenantId, 'agent');
    const before = await rowsOf(database, tenantId);
    expect(await refusal(store.addMessage(tenantId, userMessage('agent', 'two')))).toBe('TURN_IN_PROGRESS');
    expect(await refusal(store.clearMessages(tenantId, 'agent'))).toBe('TURN_IN_PROGRESS');
    expect(await store.addMessage(tenantId, userMessage('agent', 'one', 'r1'))).toEqual(added);
    expect(await rowsOf(database, tenantId)).toEqual(before);
    await send(holder.end());
  });

  test('a cleared history is empty, positions and request ids go on', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    await store.addMessage(tenantId, userMessage('agent', 'kept', 'r1'));
    await store.addMessage(tenantId, userMessage('other-agent', 'another history'));
    const holder = await begin(store, tenantId, 'agent', { requestId: 'r' });
    await send(holder.end());
    expect(await store.clearMessages(tenantId, 'agent')).toBe(2);
    expect(await store.clearMessages(tenantId, 'agent')).toBe(0);
    expect(await store.getMessages(tenantId, allMessages)).toEqual({ messages: [], more: false });
    expect((await store.addMessage(tenantId, userMessage('agent', 'kept', 'r1'))).position).toBe(1);
    const again = await store.beginTurn(tenantId, beginRequest('agent', { requestId: 'r' }));
    expect(again.outcome.case).toBe('exists');
    expect(await store.getMessages(tenantId, allMessages)).toEqual({ messages: [], more: false });
    expect((await store.addMessage(tenantId, userMessage('agent', 'new'))).position).toBe(3);
    expect((await store.getMessages(tenantId, allMessages)).messages.length).toBe(1);
    const other = await store.getMessages(tenantId, { ...allMessages, agentId: 'other-agent' });
    expect(other.messages.length).toBe(1);
  });

  test('pages hold what was asked for, in both directions', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    for (let index = 1; index <= 5; index += 1)
      await store.addMessage(tenantId, userMessage('agent', `message ${index}`));
    const page = async (beyondPosition: number | undefined, newestFirst: boolean, limit: number) => {
      const range = { agentId: 'agent', beyondPosition, newestFirst, limit };
      const { messages, more } = await store.getMessages(tenantId, range);
      return [...messages.map(({ position }) => position), more];
    };
    expect(await page(undefined, false, 2)).toEqual([1, 2, true]);
    expect(await page(3, false, 2)).toEqual([4, 5, false]);
    expect(await page(undefined, true, 3)).toEqual([5, 4, 3, true]);
    expect(await page(3, true, 2)).toEqual([2, 1, false]);
    expect(await page(5, false, 2)).toEqual([false]);
  });

  test('a page ends near 8 MiB and holds at least one message', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    for (const megabytes of [3, 3, 3, 9, 1])
      await store.addMessage(tenantId, userMessage('agent', 'x'.repeat(megabytes * 1024 * 1024)));
    const pages: number[][] = [];
    let beyondPosition: number | undefined;
    for (let more = true; more; ) {
      const page = await store.getMessages(tenantId, { ...allMessages, beyondPosition });
      pages.push(page.messages.map(({ position }) => position));
      beyondPosition = page.messages.at(-1)?.position;
      more = page.more;
    }
    expect(pages).toEqual([[1, 2, 3], [4], [5]]);
  });

  test('turns are listed newest first, page by page', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const turnIds: string[] = [];
    for (let index = 0; index < 5; index += 1) {
      const holder = await begin(store, tenantId, 'agent');
      turnIds.push(holder.ref.turnId);
      await send(holder.end());
    }
    const { turn: rows } = await rowsOf(get().database, tenantId);
    const newestFirst = rows
      .map((row) => ({ createTimeMs: Number(row['create_time_ms']), turnId: String(row['turn_id']) }))
      .sort((a, b) => b.createTimeMs - a.createTimeMs || (a.turnId < b.turnId ? 1 : -1));
    expect(newestFirst.map(({ turnId }) => turnId).sort()).toEqual([...turnIds].sort());
    const first = await store.listTurns(tenantId, 'agent', undefined, 3);
    expect(first.map(({ turnId }) => turnId)).toEqual(newestFirst.slice(0, 3).map(({ turnId }) => turnId));
    const rest = await store.listTurns(tenantId, 'agent', newestFirst[2], 3);
    expect(rest.map(({ turnId }) => turnId)).toEqual(newestFirst.slice(3).map(({ turnId }) => turnId));
  });
}
