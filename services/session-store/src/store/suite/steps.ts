/** What the steps of a turn may be, and how it ends. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { allMessages, expireLeases, refusal, rowsOf } from './harness.ts';
import { begin, beginRequest, send, takeOver } from './holder.ts';
import type { StoreUnderTest } from './harness.ts';

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
    for (const attempt of [1, 2]) {
      // The first runs: neither it again nor another beside it.
      expect(await refusal(holder.startAttempt(1, attempt).send())).toBe('INVALID_REQUEST');
      Object.assign(holder, { seq, position: 2 });
    }
    expect(await refusal(holder.answer(['call-1', 'call-1']).send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: 2 });
    expect(await refusal(holder.answer([], 1, 2).send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: 2 });
    await send(holder.answer(['call-1']), holder.finishTool('call-1', { run: 0 }));
    seq = holder.seq;
    expect(await refusal(holder.answer([]).send())).toBe('INVALID_REQUEST');
    Object.assign(holder, { seq, position: 4 });
    expect(await refusal(holder.startAttempt(1, 1).send())).toBe('INVALID_REQUEST');
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
    expect(await refusal(holder.append(1, 'the end', true).send())).toBe('INVALID_REQUEST');
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
