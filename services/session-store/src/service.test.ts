import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code, createClient } from '@connectrpc/connect';
import type { Client, Transport } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createGrpcTransport } from '@agentx/client';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import {
  codeOf,
  createDirectTransport,
  createHealth,
  createServiceChain,
  metadataOf,
  mountGrpc,
  reasonOf,
  TENANT_HEADER,
} from '@agentx/service-kit';
import type { OpenedStore, ServiceChain, ServiceDefinition } from '@agentx/service-kit';
import { temporaryFolder } from '@agentx/testing';
import { openSessionStore } from './index.ts';
import { log, userMessage } from './store/suite/harness.ts';
import { beginRequest, createHolder, send } from './store/suite/holder.ts';

type OpenTransport = (
  services: readonly ServiceDefinition[],
  chain: ServiceChain,
) => Promise<{ transport: Transport; close(): Promise<void> }>;

const transports: readonly (readonly [string, OpenTransport])[] = [
  [
    'in process',
    (services, chain) =>
      Promise.resolve({
        transport: createDirectTransport(services, chain),
        close: () => Promise.resolve(),
      }),
  ],
  [
    'gRPC',
    async (services, chain) => {
      const server = mountGrpc(services, chain, { health: createHealth(services) });
      const { text } = await server.listen('127.0.0.1:0');
      const transport = createGrpcTransport({ target: `dns:///${text}`, services: [SessionStoreService] });
      return {
        transport,
        close: async () => {
          transport.close();
          await server.close(1000);
        },
      };
    },
  ],
];

const agentId = 'agent';

describe.each(transports)('the session store, %s', (_name, open) => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  let store: OpenedStore<typeof SessionStoreService>;
  let opened: Awaited<ReturnType<OpenTransport>>;
  let client: Client<typeof SessionStoreService>;

  beforeEach(async () => {
    folder = await temporaryFolder();
    store = await openSessionStore({ databaseUrl: `sqlite:${folder.path}`, log });
    opened = await open([store.definition], createServiceChain({ log }));
    client = createClient(SessionStoreService, opened.transport);
  });
  afterEach(async () => {
    await opened.close();
    await store.close();
    await folder.remove();
  });

  const reason = async (call: Promise<unknown>) =>
    reasonOf(
      await call.then(
        () => undefined,
        (error: unknown) => error,
      ),
    );

  test('a turn goes its course, and a follower sees all of it', async () => {
    const { outcome } = await client.beginTurn(beginRequest(agentId));
    if (outcome.case !== 'begun' || outcome.value.lease?.ref === undefined) throw new Error('not begun');
    const { lease } = outcome.value;
    const turnId = outcome.value.lease.ref.turnId;
    const seen: bigint[] = [];
    const following = (async () => {
      for await (const { batch } of client.tailEvents({ agentId, turnId, follow: true }))
        seen.push(batch?.lastSeq ?? 0n);
    })();
    const holder = createHolder(overClient(client), 'default', lease);
    await send(holder.startAttempt(), holder.append(3), holder.answer(['call']), holder.startTool('call'));
    await send(holder.finishTool('call'), holder.startAttempt(2), holder.end({ answerStep: 2 }));
    await following;
    expect(seen).toEqual([2n, 3n, 6n, 7n, 8n, 9n, 10n, 11n]);
    expect((await client.listSteps({ agentId, turnId })).steps.length).toBe(3);
    expect((await client.getTurn({ agentId, turnId })).turn?.end?.seq).toBe(11n);

    const leaving = new AbortController();
    const work = client.watchWork({ engineId: 'e' }, { signal: leaving.signal })[Symbol.asyncIterator]();
    const first = await work.next();
    expect(first.done === true ? undefined : first.value.item?.work).toMatchObject({
      case: 'outbox',
      value: { outboxId: turnId },
    });
    leaving.abort();
    await work.next().catch(() => undefined);
    expect((await client.ackOutbox({ outboxIds: [turnId] })).removed).toBe(1);
  });

  test('a refusal carries its code, its reason and what a program needs to know', async () => {
    const { outcome } = await client.beginTurn(beginRequest(agentId));
    const turnId = outcome.case === 'begun' ? outcome.value.lease?.ref?.turnId : undefined;
    const error: unknown = await client.beginTurn(beginRequest(agentId)).catch((thrown: unknown) => thrown);
    expect([codeOf(error), reasonOf(error)]).toEqual([Code.Aborted, 'TURN_IN_PROGRESS']);
    expect(metadataOf(error)).toEqual({ agent_id: agentId, turn_id: turnId });
  });

  test('wrong requests are refused before they reach the store', async () => {
    const wrong = [
      client.beginTurn(beginRequest('../x')),
      client.beginTurn(beginRequest(agentId, { requestHash: new Uint8Array(3) })),
      client.beginTurn(beginRequest(agentId, { leaseTtl: durationFromMs(99) })),
      client.beginTurn(beginRequest(agentId, { requestId: '' })),
      client.renewLease({ leaseTtl: durationFromMs(1000) }),
      client.appendEvents({ lease: { agentId, turnId: 't', epoch: 0n }, leaseTtl: durationFromMs(1000) }),
      client.ackOutbox({ outboxIds: [] }),
      client.getMessages({ agentId, pageSize: 1001 }),
    ];
    expect(await Promise.all(wrong.map(reason))).toEqual(wrong.map(() => 'INVALID_REQUEST'));
  });

  test('all pages together are the whole history, in both directions', async () => {
    for (let index = 0; index < 7; index += 1) await client.addMessage(userMessage(agentId, `${index}`));
    for (const newestFirst of [false, true]) {
      const positions: number[] = [];
      let pageToken = '';
      do {
        const page = await client.getMessages({ agentId, pageSize: 3, pageToken, newestFirst });
        expect(page.messages.length).toBeGreaterThan(0);
        positions.push(...page.messages.map(({ position }) => position));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
      const inOrder = [1, 2, 3, 4, 5, 6, 7];
      expect(positions).toEqual(newestFirst ? inOrder.toReversed() : inOrder);
    }
  });

  test('all pages together are all turns', async () => {
    const begun: string[] = [];
    for (let index = 0; index < 5; index += 1) {
      const { outcome } = await client.beginTurn(beginRequest(agentId));
      if (outcome.case !== 'begun' || !outcome.value.lease) throw new Error('not begun');
      const holder = createHolder(overClient(client), 'default', outcome.value.lease);
      begun.push(holder.ref.turnId);
      await send(holder.end());
    }
    const listed: string[] = [];
    let pageToken = '';
    do {
      const page = await client.listTurns({ agentId, pageSize: 2, pageToken });
      listed.push(...page.turns.map(({ turnId }) => turnId));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(listed.toSorted()).toEqual(begun.toSorted());
  });

  test('a page token of another list, or of none, is refused', async () => {
    for (let index = 0; index < 2; index += 1) await client.addMessage(userMessage(agentId, `${index}`));
    const { nextPageToken } = await client.getMessages({ agentId, pageSize: 1 });
    expect(nextPageToken).not.toBe('');
    const refused = [
      client.getMessages({ agentId, pageToken: 'page 2' }),
      client.listTurns({ agentId, pageToken: 'page 2' }),
      client.listTurns({ agentId, pageToken: nextPageToken }),
    ];
    expect(await Promise.all(refused.map(reason))).toEqual(refused.map(() => 'INVALID_PAGE_TOKEN'));
  });

  test('an engine acts for the tenant that it names', async () => {
    const headers = { [TENANT_HEADER]: 'tenant-2' };
    await client.addMessage(userMessage(agentId, 'theirs'), { headers });
    expect((await client.getMessages({ agentId })).messages).toEqual([]);
    expect((await client.clearMessages({ agentId })).cleared).toBe(0);
    expect((await client.clearMessages({ agentId }, { headers })).cleared).toBe(1);
  });

  test('what is not built yet says so', async () => {
    const entry = { case: 'interrupt', value: {} } as const;
    expect(await reason(client.postInbox({ agentId, entry }))).toBe('NOT_IMPLEMENTED');
  });
});

/** The writes of a turn, sent by a client. */
function overClient(client: Client<typeof SessionStoreService>): Parameters<typeof createHolder>[0] {
  const status = async (answer: Promise<{ status?: { alreadyApplied: boolean } | undefined }>) => {
    const { status: given } = await answer;
    if (given === undefined) throw new Error('the answer says nothing of the lease');
    return given as never;
  };
  return {
    appendEvents: (_tenantId, request) => status(client.appendEvents(request)),
    commitStep: (_tenantId, request) => status(client.commitStep(request)),
    renewLease: (_tenantId, request) => status(client.renewLease(request)),
    releaseLease: async (_tenantId, lease) => (await client.releaseLease({ lease })).released ?? false,
    endTurn: (_tenantId, request) => client.endTurn(request),
  };
}
