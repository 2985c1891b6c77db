import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { describe, expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { call, errorInfoOf } from '../harness/client-program.ts';
import type { CallOptions, ClientProgram, Method } from '../harness/client-program.ts';
import { newAgent, text } from './agents.ts';

export interface StoreTargets {
  engine: string;
  session: string;
  state: string;
  stats: string;
}

/** What a generated client of any language must be able to do with the stores. */
export function storeClientSuite(
  name: string,
  program: () => ClientProgram,
  targets: () => StoreTargets,
): void {
  const { method: session } = SessionStoreService;
  const { method: state } = StateStoreService;
  const { method: stats } = StatisticsStoreService;
  const send = <I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ) => call(program(), targetOf(method), method, request, options);
  const targetOf = ({ parent }: { parent: { typeName: string } }) => {
    if (parent.typeName === SessionStoreService.typeName) return targets().session;
    return parent.typeName === StateStoreService.typeName ? targets().state : targets().stats;
  };
  const said = (words: string) => ({
    body: {
      case: 'user' as const,
      value: { content: [{ part: { case: 'text' as const, value: { text: words } } }] },
    },
  });

  describe(`${name}, with generated stubs`, () => {
    test('adds messages to a history, reads and clears it', async () => {
      const agentId = newAgent();
      const request = { agentId, message: said('hello'), requestId: 'r-1' };
      const added = await send(session.addMessage, request);
      expect(added.status.code).toBe('OK');
      expect((await send(session.addMessage, request)).messages).toEqual(added.messages);
      const history = async () => (await send(session.getMessages, { agentId })).messages[0]?.messages;
      expect(await history()).toEqual([added.messages[0]?.message]);
      expect((await send(session.clearMessages, { agentId })).messages[0]?.cleared).toBe(1);
      expect(await history()).toEqual([]);
    });

    test('keeps tenants apart', async () => {
      const agentId = newAgent();
      const headers = { 'x-agentx-tenant': 'tenant-a' };
      await send(session.addMessage, { agentId, message: said('mine') }, { headers });
      const mine = await send(session.getMessages, { agentId }, { headers });
      expect(mine.messages[0]?.messages).toHaveLength(1);
      const others = await send(session.getMessages, { agentId });
      expect(others.messages[0]?.messages).toEqual([]);
    });

    test('sets a state only if it is newer', async () => {
      const agentId = newAgent();
      const missing = await send(state.getState, { agentId });
      expect(missing.status.code).toBe('NOT_FOUND');
      expect(errorInfoOf(missing.status)).toMatchObject({ domain: 'agentx', reason: 'STATE_NOT_FOUND' });
      const newer = { agentId, status: AgentStatus.THINKING, turnId: 't1', epoch: 2n, seq: 5n };
      const older = { ...newer, status: AgentStatus.IDLE, epoch: 1n };
      expect((await send(state.setState, { state: newer })).messages[0]?.applied).toBe(true);
      expect((await send(state.setState, { state: older })).messages[0]?.applied).toBe(false);
      expect((await send(state.getState, { agentId })).messages[0]?.state).toMatchObject(newer);
    });

    test('is told that a record exists', async () => {
      const record = { agentId: newAgent(), displayName: 'Ada' };
      expect((await send(state.createAgentRecord, { record })).status.code).toBe('OK');
      const { status } = await send(state.createAgentRecord, { record });
      expect(status.code).toBe('ALREADY_EXISTS');
      expect(errorInfoOf(status)).toMatchObject({ reason: 'AGENT_EXISTS' });
      const { messages } = await send(state.getAgentRecord, { agentId: record.agentId });
      expect(messages[0]?.record).toMatchObject({ ...record, revision: 1n });
    });

    test('counts a turn once', async () => {
      const turn = {
        agentId: newAgent(),
        turnId: randomUUID(),
        model: 'some-model',
        usage: { inputTokens: 10n, outputTokens: 3n },
        costMicroUsd: 1234n,
        stopReason: StopReason.END_TURN,
        endTime: timestampFromDate(new Date('2026-01-31T12:00:00Z')),
      };
      expect((await send(stats.addTurn, { stats: turn })).messages[0]?.added).toBe(true);
      expect((await send(stats.addTurn, { stats: turn })).messages[0]?.added).toBe(false);
      const { status } = await send(stats.addTurn, { stats: { ...turn, costMicroUsd: 1n } });
      expect(status.code).toBe('ALREADY_EXISTS');
      expect(errorInfoOf(status)).toMatchObject({ reason: 'TURN_STATS_CONFLICT' });
      const filter = { agentId: turn.agentId };
      const { messages: costs } = await send(stats.getTotalCost, { filter });
      expect(costs[0]?.total).toMatchObject({ turns: 1n, costMicroUsd: 1234n });
      const { messages: tokens } = await send(stats.getTotalTokens, { filter });
      expect(tokens[0]?.total?.usage).toMatchObject(turn.usage);
    });

    test('leaves a stream by a deadline, by cancelling, and pings meanwhile', async () => {
      const watch = { engineId: `watcher-${newAgent()}` };
      const late = await send(session.watchWork, watch, { timeoutMs: 2000, keepaliveMs: 300 });
      expect(late.status.code).toBe('DEADLINE_EXCEEDED');
      const agentId = newAgent();
      const input = text('hello');
      await call(program(), targets().engine, EngineService.method.receive, { agentId, input });
      const tail = await send(session.tailEvents, { agentId, follow: true }, { cancelAfter: 1 });
      expect(tail.status.code).toBe('CANCELLED');
      expect(tail.messages[0]?.batch?.events).not.toEqual([]);
    });

    test('is told which fields of a request are wrong', async () => {
      const { status } = await send(session.getMessages, { agentId: '' });
      expect(status.code).toBe('INVALID_ARGUMENT');
      expect(JSON.stringify(status.details)).toContain('agent_id');
    });
  });
}
