import { createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createDirectTransport, createServiceChain, reasonOf, TENANT_HEADER } from '@agentx/service-kit';
import type { OpenedStore } from '@agentx/service-kit';
import { temporaryFolder } from '@agentx/testing';
import { AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { pino } from 'pino';
import { openStateStore } from './index.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let store: OpenedStore<typeof StateStoreService>;
let client: Client<typeof StateStoreService>;
beforeEach(async () => {
  const log = pino({ level: 'silent' });
  folder = await temporaryFolder('agentx-state-');
  store = await openStateStore({ databaseUrl: `sqlite:${folder.path}`, log });
  const transport = createDirectTransport([store.definition], createServiceChain({ log }));
  client = createClient(StateStoreService, transport);
});
afterEach(async () => {
  await store.close();
  await folder.remove();
});

const failure = (call: Promise<unknown>) => call.then(() => 'no failure', reasonOf);

test('all pages together are all records in order', async () => {
  const ids = Array.from({ length: 7 }, (_, index) => `agent-${index}`);
  await Promise.all(ids.map((agentId) => client.createAgentRecord({ record: { agentId } })));
  const seen: string[] = [];
  let pageToken = '';
  do {
    const page = await client.listAgentRecords({ pageSize: 3, pageToken });
    seen.push(...page.records.map(({ agentId }) => agentId));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  expect(seen).toEqual(ids);
  expect(await failure(client.listAgentRecords({ pageToken: 'agent-3' }))).toBe('INVALID_PAGE_TOKEN');
});

test('a record and a state live through all calls, for the tenant that is named', async () => {
  const headers = { [TENANT_HEADER]: 'tenant-2' };
  await client.createAgentRecord({ record: { agentId: 'a' } }, { headers });
  const { record } = await client.updateAgentRecord(
    { record: { agentId: 'a', displayName: 'A' }, ifRevision: 1n },
    { headers },
  );
  expect(record).toMatchObject({ displayName: 'A', revision: 2n });
  const state = { agentId: 'a', status: AgentStatus.IDLE, epoch: 1n, seq: 1n };
  expect((await client.setState({ state }, { headers })).applied).toBe(true);
  expect((await client.setState({ state }, { headers })).applied).toBe(false);
  expect((await client.getState({ agentId: 'a' }, { headers })).state).toMatchObject({ seq: 1n });

  expect(await failure(client.getAgentRecord({ agentId: 'a' }))).toBe('AGENT_NOT_FOUND');
  expect(await failure(client.getState({ agentId: 'a' }))).toBe('STATE_NOT_FOUND');
  expect((await client.deleteAgentRecord({ agentId: 'a' }, { headers })).deleted).toBe(true);
  expect(await failure(client.getAgentRecord({ agentId: 'a' }, { headers }))).toBe('AGENT_NOT_FOUND');
});
