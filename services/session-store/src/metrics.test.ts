import { expect, test } from '@jest/globals';
import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Registry } from 'prom-client';
import { AgentConfigSchema } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { UserMessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import {
  AppendEventsRequestSchema,
  BeginTurnRequestSchema,
  TailEventsRequestSchema,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { createLogger, openDatabase } from '@agentx/service-kit';
import { temporaryFolder, waitFor } from '@agentx/testing';
import { countSessionStore } from './metrics.ts';
import { entities } from './store/entities.ts';
import { migrations } from './store/migrations/index.ts';
import { createSessionStore } from './store/sql-store.ts';

const log = createLogger({ name: 'test', level: 'silent' });

test('leases, refused writes and followers are counted', async () => {
  await using folder = await temporaryFolder();
  const database = await openDatabase({
    url: `sqlite:${folder.path}`,
    name: 'session',
    entities,
    migrations,
    log,
  });
  await using _closing = database;
  const registry = new Registry();
  const store = countSessionStore(createSessionStore(database, { log }), { registry });
  const valueOf = async (name: string, label?: string) => {
    const { values } = await registry.getSingleMetric(name)!.get();
    return (
      values.find(({ labels }) => label === undefined || Object.values(labels).includes(label))?.value ?? 0
    );
  };

  const { outcome } = await store.beginTurn(
    'default',
    create(BeginTurnRequestSchema, {
      agentId: 'a1',
      requestId: 'r1',
      requestHash: new Uint8Array(32),
      acquisitionId: '00000000-0000-4000-8000-000000000000',
      engineId: 'e1',
      leaseTtl: durationFromMs(1000),
      message: create(UserMessageSchema),
      config: create(AgentConfigSchema),
    }),
  );
  if (outcome.case !== 'begun') throw new Error('the turn did not begin');
  expect(await valueOf('agentx_leases_acquired_total', 'begin')).toBe(1);
  expect(await valueOf('agentx_leases_acquired_total', 'takeover')).toBe(0);

  const ref = outcome.value.lease?.ref;
  const stale = create(AppendEventsRequestSchema, {
    lease: { agentId: 'a1', turnId: ref?.turnId ?? '', epoch: 99n },
    batch: { firstSeq: 3n, lastSeq: 3n },
    leaseTtl: durationFromMs(1000),
  });
  await expect(store.appendEvents('default', stale)).rejects.toMatchObject({ reason: 'FENCED' });
  expect(await valueOf('agentx_fenced_writes_total', 'AppendEvents')).toBe(1);

  const leaving = new AbortController();
  const request = create(TailEventsRequestSchema, { agentId: 'a1', follow: true });
  const tail = store.tailEvents('default', request, leaving.signal)[Symbol.asyncIterator]();
  await tail.next();
  expect(await valueOf('agentx_log_followers')).toBe(1);
  leaving.abort();
  await waitFor(async () => (await tail.next()).done, { what: 'the follower to leave' });
  expect(await valueOf('agentx_log_followers')).toBe(0);
});
