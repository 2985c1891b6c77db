/** Who reaches a store: by certificates of an authority that the test makes. */
import { createGrpcTransport } from '@agentx/client';
import type { GrpcTransport } from '@agentx/client';
import { Health } from '@agentx/gen/grpc/health/v1/health_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import {
  allowByCertificate,
  callerCredentials,
  createHealth,
  createLogger,
  createServiceChain,
  defineService,
  mountGrpc,
  storeCredentials,
} from '@agentx/service-kit';
import type { RpcServer } from '@agentx/service-kit';
import { refusalOf, temporaryFolder } from '@agentx/testing';
import type { TemporaryFolder } from '@agentx/testing';
import { createClient } from '@connectrpc/connect';
import { credentials } from '@grpc/grpc-js';
import type { ChannelCredentials } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { createAuthority } from './certificates.ts';
import type { Authority } from './certificates.ts';

const log = createLogger({ name: 'test', level: 'silent' });
const tenants: string[] = [];

let folder: TemporaryFolder;
let authority: Authority;
let stranger: Authority;
let target: string;
const servers: RpcServer[] = [];
const transports: GrpcTransport[] = [];

/** A store that answers everything, and remembers for which tenant. */
async function serve(tls: Parameters<typeof storeCredentials>[0]): Promise<string> {
  const service = defineService(StateStoreService, {
    getState: async (_request, { identity }) => {
      tenants.push(identity.tenantId);
      return {};
    },
  });
  const server = mountGrpc([service], createServiceChain({ log }), {
    health: createHealth([service]),
    credentials: await storeCredentials(tls),
    interceptors: [allowByCertificate(log)],
  });
  servers.push(server);
  return (await server.listen('127.0.0.1:0')).text;
}

beforeAll(async () => {
  folder = await temporaryFolder();
  authority = await createAuthority(folder.path, 'authority');
  stranger = await createAuthority(folder.path, 'stranger');
  target = await serve(await authority.issue('state-store', { alternatives: ['IP:127.0.0.1'] }));
});
afterEach(() => {
  for (const transport of transports.splice(0)) transport.close();
  tenants.length = 0;
});
afterAll(async () => {
  for (const server of servers) await server.close(0);
  await folder.remove();
});

function connect(channel: ChannelCredentials, to = target) {
  const transport = createGrpcTransport({ target: to, credentials: channel });
  transports.push(transport);
  const state = createClient(StateStoreService, transport);
  const health = createClient(Health, transport);
  return {
    getState: () => state.getState({ agentId: 'a' }, { headers: { 'x-agentx-tenant': 'tenant-a' } }),
    check: () => health.check({}),
  };
}

const connectAs = async (name: string, alternatives: readonly string[] = []) =>
  connect(await callerCredentials(await authority.issue(name, { alternatives })));

describe('a certificate of the authority', () => {
  test.each([
    ['engine', []],
    ['engine-1', []],
    ['anything', ['DNS:engine.agentx.svc.cluster.local']],
  ])('%s %s: an engine acts for the tenant that it names', async (name, alternatives) => {
    const { getState, check } = await connectAs(name, alternatives);
    await getState();
    await check();
    expect(tenants).toEqual(['tenant-a']);
  });

  test('ops: health, and nothing else', async () => {
    const { getState, check } = await connectAs('ops-probe');
    expect(await check()).toMatchObject({ status: 1 });
    expect(await refusalOf(getState())).toMatchObject({
      code: 'PermissionDenied',
      reason: 'CALLER_NOT_ALLOWED',
    });
    expect(tenants).toEqual([]);
  });

  test.each([
    ['state-store', []],
    ['engineer', []],
    ['my-engine', ['DNS:example.engine-1']],
    ['nobody', ['URI:DNS:engine-1', 'email:engine-1@example.com']],
  ])('%s %s: nothing at all', async (name, alternatives) => {
    const { getState, check } = await connectAs(name, alternatives);
    for (const call of [getState, check]) {
      const refusal = await refusalOf(call());
      expect(refusal).toMatchObject({ code: 'PermissionDenied', reason: 'CALLER_NOT_ALLOWED' });
      expect(refusal.message).toContain(name);
    }
    expect(tenants).toEqual([]);
  });
});

describe('no connection', () => {
  const unavailable = { code: 'Unavailable' };
  const file = (path: string) => readFile(path);

  test('without TLS', async () => {
    expect(await refusalOf(connect(credentials.createInsecure()).getState())).toMatchObject(unavailable);
  });

  test('without a certificate', async () => {
    const channel = credentials.createSsl(await file(authority.ca));
    expect(await refusalOf(connect(channel).getState())).toMatchObject(unavailable);
  });

  test('with one of another authority, whatever its name', async () => {
    const { cert, key } = await stranger.issue('engine-1');
    const channel = credentials.createSsl(await file(authority.ca), await file(key), await file(cert));
    expect(await refusalOf(connect(channel).getState())).toMatchObject(unavailable);
  });

  test('with one that has expired', async () => {
    const { cert, key, ca } = await authority.issue('engine-1', { days: -1 });
    const channel = credentials.createSsl(await file(ca), await file(key), await file(cert));
    expect(await refusalOf(connect(channel).getState())).toMatchObject(unavailable);
  });

  test('to a store of another authority, or of another name: an engine does not call it', async () => {
    const engine = await callerCredentials(await authority.issue('engine-1'));
    const impostor = await serve(await stranger.issue('state-store', { alternatives: ['IP:127.0.0.1'] }));
    expect(await refusalOf(connect(engine, impostor).getState())).toMatchObject(unavailable);
    const other = await serve(await authority.issue('state-store', { alternatives: ['DNS:elsewhere'] }));
    expect(await refusalOf(connect(engine, other).getState())).toMatchObject(unavailable);
  });

  afterEach(() => expect(tenants).toEqual([]));
});

describe('files that cannot be used stop the start, and say which', () => {
  test.each<[string, (one: Authority) => Promise<Parameters<typeof storeCredentials>[0]>, RegExp]>([
    [
      'a key of another certificate',
      async (one) => ({ ...(await one.issue('a')), key: (await one.issue('b')).key }),
      /^AGENTX_TLS_KEY: .* is not the key of the certificate/,
    ],
    [
      'an expired certificate',
      (one) => one.issue('a', { days: -1 }),
      /^AGENTX_TLS_CERT: .* has expired \(.*\); renew it/,
    ],
    [
      'no certificate',
      async (one) => ({ ...(await one.issue('a')), ca: (await one.issue('a')).key }),
      /^AGENTX_TLS_CA: .* holds no certificate in PEM form/,
    ],
    [
      'no file',
      async (one) => ({ ...(await one.issue('a')), cert: '/nowhere' }),
      /^AGENTX_TLS_CERT: \/nowhere cannot be read/,
    ],
  ])('%s', async (_what, files, message) => {
    const tls = await files(authority);
    await expect(storeCredentials(tls)).rejects.toThrow(message);
    await expect(callerCredentials(tls)).rejects.toThrow(message);
  });
});
