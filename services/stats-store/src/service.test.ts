import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createDirectTransport, createServiceChain, reasonOf, TENANT_HEADER } from '@agentx/service-kit';
import type { OpenedStore } from '@agentx/service-kit';
import { temporaryFolder } from '@agentx/testing';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { GroupBy, StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { openStatsStore } from './index.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: OpenedStore<typeof StatisticsStoreService>;
let client: Client<typeof StatisticsStoreService>;
beforeEach(async () => {
  const log = pino({ level: 'silent' });
  folder = await temporaryFolder('agentx-stats-');
  store = await openStatsStore({ databaseUrl: `sqlite:${folder.path}`, log });
  const transport = createDirectTransport([store.definition], createServiceChain({ log }));
  client = createClient(StatisticsStoreService, transport);
});
afterEach(async () => {
  await store.close();
  await folder.remove();
});

const turn = (turnId: string, endMs: number) => ({
  turnId,
  agentId: 'agent-1',
  model: 'model-1',
  usage: { inputTokens: 10n },
  costMicroUsd: 5n,
  stopReason: StopReason.END_TURN,
  endTime: timestampFromMs(endMs),
});

async function addTurns(count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => index);
  await Promise.all(
    numbers.map((n) => client.addTurn({ stats: turn(`turn-${String(n).padStart(3, '0')}`, n) })),
  );
}

test('all pages together are all turns, the last ended first', async () => {
  await addTurns(25);
  const seen: string[] = [];
  let pageToken = '';
  do {
    const page = await client.listTurnStats({ pageSize: 10, pageToken });
    expect(page.turns.length).toBeLessThanOrEqual(10);
    seen.push(...page.turns.map(({ turnId }) => turnId));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  expect(seen).toHaveLength(25);
  expect(seen).toEqual(seen.toSorted().reverse());
});

test('a page has 100 turns where nothing else is said', async () => {
  await addTurns(101);
  const page = await client.listTurnStats({});
  expect(page.turns).toHaveLength(100);
  expect(page.nextPageToken).not.toBe('');
});

test('a page token that is none: INVALID_PAGE_TOKEN', async () => {
  const error: unknown = await client
    .listTurnStats({ pageToken: 'page 2' })
    .catch((reason: unknown) => reason);
  expect(reasonOf(error)).toBe('INVALID_PAGE_TOKEN');
});

test('an engine counts and reads for the tenant that it names', async () => {
  const headers = { [TENANT_HEADER]: 'tenant-2' };
  expect((await client.addTurn({ stats: turn('turn-1', 0) }, { headers })).added).toBe(true);
  expect((await client.addTurn({ stats: turn('turn-1', 0) }, { headers })).added).toBe(false);
  const filter = { agentId: 'agent-1', startTime: timestampFromMs(0), endTime: timestampFromMs(1) };
  const mine = await client.getTotalCost({ filter, groupBy: GroupBy.DAY }, { headers });
  expect(mine.groups).toMatchObject([{ key: '1970-01-01', costMicroUsd: 5n }]);
  expect((await client.getTotalTokens({ filter })).total?.turns).toBe(0n);
});
