import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { StopReason, TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TurnStats } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { GroupBy } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import type { StatsStore } from './store.ts';

/** A store on data that stays when it is closed, and is empty for each test. */
export interface StoreUnderTest {
  readonly store: StatsStore;
  close(): Promise<void>;
}

type StatsInit = Exclude<MessageInitShape<typeof TurnStatsSchema>, TurnStats>;

const tenant = 'tenant-1';
const all = {};

function stats(turnId: string, init: StatsInit = {}): TurnStats {
  return create(TurnStatsSchema, {
    turnId,
    agentId: 'agent-1',
    model: 'model-1',
    usage: { inputTokens: 100n, outputTokens: 20n, cacheReadTokens: 3n },
    costMicroUsd: 1500n,
    priceTableVersion: '2026-01',
    durationMs: 840n,
    stopReason: StopReason.END_TURN,
    endTime: timestampFromDate(new Date('2026-01-31T23:59:59.999Z')),
    ...init,
  });
}

const at = (time: string) => ({ endTime: timestampFromDate(new Date(time)) });

/** What every StatsStore does. `open` opens the data of the current test, again after a close. */
export function statsStoreSuite(open: () => Promise<StoreUnderTest>): void {
  let opened: StoreUnderTest;
  let store: StatsStore;
  const openAgain = async () => {
    opened = await open();
    ({ store } = opened);
  };
  beforeEach(openAgain);
  afterEach(() => opened.close());

  describe('addTurn', () => {
    test('counts a turn once, however often and however much at once it is called', async () => {
      const added = await Promise.all(
        Array.from({ length: 20 }, () => store.addTurn(tenant, stats('turn-1'))),
      );
      expect(added.filter((first) => first)).toHaveLength(1);
      expect(await store.addTurn(tenant, stats('turn-1'))).toBe(false);
      const { total } = await store.getTotalCost(tenant, all, GroupBy.UNSPECIFIED);
      expect(total).toMatchObject({ turns: 1n, costMicroUsd: 1500n });
    });

    test.each<[string, StatsInit]>([
      ['cost', { costMicroUsd: 1501n }],
      ['no cost', { costMicroUsd: undefined }],
      ['tokens', { usage: { inputTokens: 101n } }],
      ['a figure that is not summed', { modelAttempts: 2 }],
      ['agent', { agentId: 'agent-2' }],
    ])('refuses another %s for a known turn', async (_, other) => {
      await store.addTurn(tenant, stats('turn-1'));
      await expect(store.addTurn(tenant, stats('turn-1', other))).rejects.toMatchObject({
        reason: 'TURN_STATS_CONFLICT',
      });
      expect(await store.listTurnStats(tenant, all, undefined, 10)).toEqual([stats('turn-1')]);
    });

    test.each<[string, StatsInit]>([
      ['stats.cost_micro_usd', { costMicroUsd: 2n ** 53n }],
      ['stats.usage.output_tokens', { usage: { outputTokens: 2n ** 64n - 1n } }],
      ['stats.end_time', at('1969-12-31T00:00:00Z')],
    ])('refuses what databases cannot sum: %s', async (field, init) => {
      await expect(store.addTurn(tenant, stats('turn-1', init))).rejects.toMatchObject({
        reason: 'INVALID_REQUEST',
        metadata: { field },
      });
    });

    test('many turns at once are all counted', async () => {
      await Promise.all(
        Array.from({ length: 100 }, (_, index) => store.addTurn(tenant, stats(`turn-${index}`))),
      );
      const { total } = await store.getTotalCost(tenant, all, GroupBy.UNSPECIFIED);
      expect(total).toMatchObject({ turns: 100n, costMicroUsd: 150_000n });
    });
  });

  describe('sums', () => {
    beforeEach(async () => {
      const turns = [
        stats('turn-1', at('2026-01-31T23:59:59.999Z')),
        stats('turn-2', { ...at('2026-02-01T00:00:00Z'), agentId: 'agent-2', model: 'Model-2' }),
        stats('turn-3', { ...at('2026-02-01T12:00:00Z'), agentId: 'agent-2', costMicroUsd: undefined }),
      ];
      await Promise.all(turns.map((turn) => store.addTurn(tenant, turn)));
    });

    test('of nothing are zero', async () => {
      const nothing = { agentId: 'nobody' };
      const cost = await store.getTotalCost(tenant, nothing, GroupBy.UNSPECIFIED);
      expect(cost.total).toMatchObject({ key: '', turns: 0n, costMicroUsd: 0n, unpricedTurns: 0n });
      expect(cost.groups).toEqual([]);
      const tokens = await store.getTotalTokens(tenant, nothing, GroupBy.DAY);
      expect(tokens.total).toMatchObject({ turns: 0n, usage: { inputTokens: 0n } });
      expect(tokens.groups).toEqual([]);
    });

    test('unpriced turns are counted apart', async () => {
      const { total } = await store.getTotalCost(tenant, all, GroupBy.UNSPECIFIED);
      expect(total).toMatchObject({ turns: 3n, costMicroUsd: 3000n, unpricedTurns: 1n });
    });

    test.each([
      [
        GroupBy.AGENT,
        [
          ['agent-1', 1n],
          ['agent-2', 2n],
        ],
      ],
      [
        GroupBy.TURN,
        [
          ['turn-1', 1n],
          ['turn-2', 1n],
          ['turn-3', 1n],
        ],
      ],
      [
        GroupBy.MODEL,
        [
          ['Model-2', 1n],
          ['model-1', 2n],
        ],
      ],
      [
        GroupBy.DAY,
        [
          ['2026-01-31', 1n],
          ['2026-02-01', 2n],
        ],
      ],
    ])('grouped by %s, ordered by key', async (groupBy, expected) => {
      const cost = await store.getTotalCost(tenant, all, groupBy);
      expect(cost.groups.map(({ key, turns }) => [key, turns])).toEqual(expected);
      expect(cost.total).toMatchObject({ key: '', turns: 3n, costMicroUsd: 3000n, unpricedTurns: 1n });
      const tokens = await store.getTotalTokens(tenant, all, groupBy);
      expect(tokens.groups.map(({ key, turns }) => [key, turns])).toEqual(expected);
      expect(tokens.total).toMatchObject({
        turns: 3n,
        usage: { inputTokens: 300n, outputTokens: 60n, cacheReadTokens: 9n, cacheWrite5mTokens: 0n },
      });
    });

    test.each([
      ['agent', { agentId: 'agent-2' }, ['turn-3', 'turn-2']],
      ['turn', { turnId: 'turn-1' }, ['turn-1']],
      ['model', { model: 'model-1' }, ['turn-3', 'turn-1']],
      ['time', { fromMs: Date.parse('2026-02-01'), beforeMs: Date.parse('2026-02-01T12:00Z') }, ['turn-2']],
    ])('and lists by %s', async (_, selection, expected) => {
      const { total } = await store.getTotalCost(tenant, selection, GroupBy.UNSPECIFIED);
      expect(total.turns).toBe(BigInt(expected.length));
      const listed = await store.listTurnStats(tenant, selection, undefined, 10);
      expect(listed.map(({ turnId }) => turnId)).toEqual(expected);
    });

    test('are exact where numbers are not', async () => {
      const huge = 2n ** 53n - 1n;
      const usage = { inputTokens: huge, cacheWrite1hTokens: huge };
      const turns = [1, 2, 3].map((n) => stats(`huge-${n}`, { agentId: 'huge', costMicroUsd: huge, usage }));
      await Promise.all(turns.map((turn) => store.addTurn(tenant, turn)));
      const cost = await store.getTotalCost(tenant, { agentId: 'huge' }, GroupBy.AGENT);
      expect(cost.groups[0]?.costMicroUsd).toBe(3n * huge);
      const tokens = await store.getTotalTokens(tenant, { agentId: 'huge' }, GroupBy.UNSPECIFIED);
      expect(tokens.total.usage).toMatchObject({ inputTokens: 3n * huge, cacheWrite1hTokens: 3n * huge });
    });

    test('of another tenant hold nothing of it', async () => {
      const { total } = await store.getTotalCost('tenant-2', all, GroupBy.UNSPECIFIED);
      expect(total.turns).toBe(0n);
      expect(await store.listTurnStats('tenant-2', { turnId: 'turn-1' }, undefined, 10)).toEqual([]);
      expect(await store.addTurn('tenant-2', stats('turn-1', { costMicroUsd: 7n }))).toBe(true);
      expect((await store.getTotalCost(tenant, all, GroupBy.UNSPECIFIED)).total.turns).toBe(3n);
    });
  });

  test('a turn comes back whole, also after closing and opening again', async () => {
    const whole = stats('turn-1', {
      ttftMs: 12n,
      toolCalls: 3,
      modelAttempts: 2,
      estimated: true,
      wastedUsage: { inputTokens: 5n },
      endTime: { seconds: 1n, nanos: 123_456_789 },
    });
    await store.addTurn(tenant, whole);
    await opened.close();
    await openAgain();
    expect(await store.listTurnStats(tenant, all, undefined, 10)).toEqual([whole]);
    expect(await store.addTurn(tenant, whole)).toBe(false);
  });

  test('pages go on after a place without a gap, also among turns of the same millisecond', async () => {
    const turns = ['a', 'b', 'c', 'B'].map((id) => stats(`same-${id}`));
    await Promise.all(
      [...turns, stats('last', at('2026-03-01T00:00:00Z'))].map((turn) => store.addTurn(tenant, turn)),
    );
    const endTimeMs = Date.parse('2026-01-31T23:59:59.999Z');
    const page = await store.listTurnStats(tenant, all, { endTimeMs, turnId: 'same-b' }, 10);
    expect(page.map(({ turnId }) => turnId)).toEqual(['same-a', 'same-B']);
    const first = await store.listTurnStats(tenant, all, undefined, 3);
    expect(first.map(({ turnId }) => turnId)).toEqual(['last', 'same-c', 'same-b']);
  });
}
