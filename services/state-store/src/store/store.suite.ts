import { create } from '@bufbuild/protobuf';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { AgentStateSchema, AgentStatus, ApprovalDecision } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { AgentRecordSchema } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import type { StateStore } from './store.ts';

/** A store on data that stays when it is closed, and is empty for each test. */
export interface StoreUnderTest {
  readonly store: StateStore;
  close(): Promise<void>;
}

const tenant = 'tenant-1';

const state = (epoch: bigint, seq: bigint, status: AgentStatus = AgentStatus.THINKING) =>
  create(AgentStateSchema, { agentId: 'agent-1', status, turnId: `turn-${epoch}`, epoch, seq });

const record = (agentId = 'agent-1', displayName = 'First') =>
  create(AgentRecordSchema, {
    agentId,
    displayName,
    labels: { team: 'a', 'it\'s "quoted"': 'ü ? \\' },
    config: {
      model: 'model-1',
      systemPrompt: 'Be kind.\n',
      approvalRules: [{ tool: 'bash', decision: ApprovalDecision.ASK }],
      budget: { turnCostMicroUsd: 0n },
      mcpServers: [{ name: 'm', transport: { case: 'stdio', value: { command: 'run', args: ['x'] } } }],
    },
  });

/** What every StateStore does. `open` opens the data of the current test, again after a close. */
export function stateStoreSuite(open: () => Promise<StoreUnderTest>): void {
  let opened: StoreUnderTest;
  let store: StateStore;
  const openAgain = async () => {
    opened = await open();
    ({ store } = opened);
  };
  beforeEach(openAgain);
  afterEach(() => opened.close());

  describe('state', () => {
    test('is the newest by epoch, then by seq, whatever comes later', async () => {
      const steps: [bigint, bigint, boolean][] = [
        [1n, 5n, true],
        [1n, 5n, false],
        [1n, 4n, false],
        [1n, 6n, true],
        [2n, 1n, true],
        [1n, 99n, false],
        [2n, 2n, true],
      ];
      for (const [epoch, seq, applied] of steps) {
        expect([epoch, seq, await store.setState(tenant, state(epoch, seq))]).toEqual([epoch, seq, applied]);
      }
      expect(await store.getState(tenant, 'agent-1')).toMatchObject({ epoch: 2n, seq: 2n, turnId: 'turn-2' });
    });

    test('is the newest also when many are set at once', async () => {
      const seqs = Array.from({ length: 50 }, (_, index) => BigInt(((index * 37) % 50) + 1));
      await Promise.all(seqs.map((seq) => store.setState(tenant, state(1n, seq))));
      expect((await store.getState(tenant, 'agent-1')).seq).toBe(50n);
    });

    test('that was never set: STATE_NOT_FOUND; to another tenant too', async () => {
      await expect(store.getState(tenant, 'agent-1')).rejects.toMatchObject({ reason: 'STATE_NOT_FOUND' });
      await store.setState(tenant, state(1n, 1n));
      await expect(store.getState('tenant-2', 'agent-1')).rejects.toMatchObject({
        reason: 'STATE_NOT_FOUND',
      });
      expect(await store.setState('tenant-2', state(1n, 1n, AgentStatus.IDLE))).toBe(true);
      expect((await store.getState(tenant, 'agent-1')).status).toBe(AgentStatus.THINKING);
    });

    test('says when it was applied, and stays when the store is closed', async () => {
      await store.setState(tenant, state(3n, 2n ** 53n - 1n, AgentStatus.ERROR));
      await opened.close();
      await openAgain();
      const { updateTime, ...kept } = await store.getState(tenant, 'agent-1');
      expect(kept).toMatchObject({ epoch: 3n, seq: 2n ** 53n - 1n, status: AgentStatus.ERROR });
      expect(updateTime && Math.abs(timestampMs(updateTime) - Date.now())).toBeLessThan(60_000);
    });

    test('with a count that databases cannot keep is refused', async () => {
      await expect(store.setState(tenant, state(2n ** 53n, 1n))).rejects.toMatchObject({
        reason: 'INVALID_REQUEST',
        metadata: { field: 'state.epoch' },
      });
    });
  });

  describe('records', () => {
    test('come back as they were created, also after closing and opening again', async () => {
      const created = await store.createAgentRecord(tenant, record());
      expect(created).toMatchObject({ ...record(), revision: 1n, createTime: {}, updateTime: {} });
      await opened.close();
      await openAgain();
      expect(await store.getAgentRecord(tenant, 'agent-1')).toEqual(created);
    });

    test('are created once, also when many try at once', async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 10 }, () => store.createAgentRecord(tenant, record())),
      );
      const refused = results.filter((result) => result.status === 'rejected');
      expect(refused).toHaveLength(9);
      expect(refused[0]?.reason).toMatchObject({ reason: 'AGENT_EXISTS', metadata: { agent_id: 'agent-1' } });
    });

    test('that do not exist: AGENT_NOT_FOUND; those of another tenant too', async () => {
      await store.createAgentRecord('tenant-2', record());
      const notFound = { reason: 'AGENT_NOT_FOUND' };
      await expect(store.getAgentRecord(tenant, 'agent-1')).rejects.toMatchObject(notFound);
      await expect(store.updateAgentRecord(tenant, record(), 0n)).rejects.toMatchObject(notFound);
      await expect(store.updateAgentRecord(tenant, record(), 1n)).rejects.toMatchObject(notFound);
      expect(await store.deleteAgentRecord(tenant, 'agent-1', 0n)).toBe(false);
      expect(await store.listAgentRecords(tenant, undefined, 10)).toEqual([]);
      expect(await store.getAgentRecord('tenant-2', 'agent-1')).toMatchObject({ revision: 1n });
    });

    test('are replaced whole, and count their revisions', async () => {
      const created = await store.createAgentRecord(tenant, record());
      const second = create(AgentRecordSchema, { agentId: 'agent-1', displayName: 'Second' });
      const updated = await store.updateAgentRecord(tenant, second, 1n);
      expect(updated).toMatchObject({ displayName: 'Second', labels: {}, revision: 2n });
      expect(updated.config).toBeUndefined();
      expect(updated.createTime).toEqual(created.createTime);
      expect(await store.updateAgentRecord(tenant, record(), 0n)).toMatchObject({ revision: 3n });
      expect(await store.getAgentRecord(tenant, 'agent-1')).toMatchObject({ ...record(), revision: 3n });
    });

    test('another revision than the stored one: REVISION_CONFLICT, which names it', async () => {
      await store.createAgentRecord(tenant, record());
      const conflict = { reason: 'REVISION_CONFLICT', metadata: { agent_id: 'agent-1', revision: '1' } };
      await expect(store.updateAgentRecord(tenant, record(), 2n)).rejects.toMatchObject(conflict);
      await expect(store.deleteAgentRecord(tenant, 'agent-1', 7n)).rejects.toMatchObject(conflict);
      expect(await store.getAgentRecord(tenant, 'agent-1')).toMatchObject({ revision: 1n });
    });

    test('of many changes at once from the same revision one is applied', async () => {
      await store.createAgentRecord(tenant, record());
      const names = Array.from({ length: 10 }, (_, index) => `name-${index}`);
      const results = await Promise.allSettled(
        names.map((name) => store.updateAgentRecord(tenant, record('agent-1', name), 1n)),
      );
      const applied = results.filter((result) => result.status === 'fulfilled');
      expect(applied).toHaveLength(1);
      expect(await store.getAgentRecord(tenant, 'agent-1')).toEqual(applied[0]?.value);
      const whatever = names.map((name) => store.updateAgentRecord(tenant, record('agent-1', name), 0n));
      await Promise.all(whatever);
      expect(await store.getAgentRecord(tenant, 'agent-1')).toMatchObject({ revision: 12n });
    });

    test('are deleted with their state', async () => {
      await store.createAgentRecord(tenant, record());
      await store.setState(tenant, state(1n, 1n));
      expect(await store.deleteAgentRecord(tenant, 'agent-1', 1n)).toBe(true);
      await expect(store.getAgentRecord(tenant, 'agent-1')).rejects.toMatchObject({
        reason: 'AGENT_NOT_FOUND',
      });
      await expect(store.getState(tenant, 'agent-1')).rejects.toMatchObject({ reason: 'STATE_NOT_FOUND' });
      expect(await store.deleteAgentRecord(tenant, 'agent-1', 0n)).toBe(false);
      expect(await store.createAgentRecord(tenant, record())).toMatchObject({ revision: 1n });
    });

    test('are listed by id, byte by byte, after an id', async () => {
      const ids = ['b', 'B', 'a-1', 'a.1', 'a', 'c'];
      await Promise.all(ids.map((id) => store.createAgentRecord(tenant, record(id))));
      const list = async (after: string | undefined, limit: number) =>
        (await store.listAgentRecords(tenant, after, limit)).map(({ agentId }) => agentId);
      expect(await list(undefined, 10)).toEqual(['B', 'a', 'a-1', 'a.1', 'b', 'c']);
      expect(await list('a-1', 2)).toEqual(['a.1', 'b']);
    });
  });
}
