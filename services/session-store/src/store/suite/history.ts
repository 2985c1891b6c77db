/** The history, and the list of turns. */
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { allMessages, refusal, rowsOf, userMessage } from './harness.ts';
import { begin, beginRequest, send } from './holder.ts';
import type { StoreUnderTest } from './harness.ts';

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
    for (let more = true; more;) {
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
