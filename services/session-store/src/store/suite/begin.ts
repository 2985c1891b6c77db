/** How a turn begins, and how it is found again. */
import { fromBinary } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { BusyPolicy } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { codeOf, metadataOf } from '@agentx/service-kit';
import { Code } from '@connectrpc/connect';
import { allMessages, expireLeases, refusal, rowsOf } from './harness.ts';
import { begin, beginRequest, send, takeOver } from './holder.ts';
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
      turn: {
        requestId: request.requestId,
        status: TurnStatus.RUNNING,
        model: 'some-model',
        firstPosition: 1,
      },
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
