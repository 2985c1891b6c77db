/** Engine and stores as four processes that speak mutual TLS. */
import { collect, refusalOf, startServices, streamedText, temporaryFolder } from '@agentx/testing';
import type { Services, TemporaryFolder } from '@agentx/testing';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createGrpcTransport } from '@agentx/client';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { callerCredentials } from '@agentx/service-kit';
import { createClient } from '@connectrpc/connect';
import { createAuthority } from './certificates.ts';
import type { Authority, Certificate } from './certificates.ts';

let folder: TemporaryFolder;
let authority: Authority;
let services: Services;

const variables = ({ cert, key, ca }: Certificate) => ({
  AGENTX_TLS_CERT: cert,
  AGENTX_TLS_KEY: key,
  AGENTX_TLS_CA: ca,
});

beforeAll(async () => {
  folder = await temporaryFolder();
  authority = await createAuthority(folder.path, 'authority');
  services = await startServices({
    databaseUrl: `sqlite:${folder.path}/data`,
    folder: folder.path,
    env: variables(await authority.issue('engine-1', { alternatives: ['IP:127.0.0.1'] })),
  });
}, 60_000);
afterAll(async () => {
  await services.stop();
  await folder.remove();
});

const sessionStore = () => {
  const port = Number(new URL(services.url).port) - 8081 + 8091;
  return `127.0.0.1:${port}`;
};

test('a turn runs', async () => {
  const said = await collect(
    services.engine.receive({ agentId: 'a', input: { case: 'text', value: 'hello' } }, { timeoutMs: 20_000 }),
  );
  expect(streamedText(said)).toContain('You said: hello');
});

test('the session store answers engines, and nobody else on this machine', async () => {
  using plain = closing(createGrpcTransport({ target: sessionStore() }));
  expect(await refusalOf(createClient(SessionStoreService, plain).listTurns({ agentId: 'a' }))).toMatchObject(
    {
      code: 'Unavailable',
    },
  );
  using other = closing(
    createGrpcTransport({
      target: sessionStore(),
      credentials: await callerCredentials(await authority.issue('somebody')),
    }),
  );
  expect(await refusalOf(createClient(SessionStoreService, other).listTurns({ agentId: 'a' }))).toMatchObject(
    {
      reason: 'CALLER_NOT_ALLOWED',
    },
  );
  using engine = closing(
    createGrpcTransport({
      target: sessionStore(),
      credentials: await callerCredentials(await authority.issue('engine-2')),
    }),
  );
  const { turns } = await createClient(SessionStoreService, engine).listTurns({ agentId: 'a' });
  expect(turns).toHaveLength(1);
});

function closing<T extends { close(): void }>(transport: T): T & Disposable {
  return Object.assign(transport, { [Symbol.dispose]: () => transport.close() });
}
