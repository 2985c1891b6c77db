import { temporaryFolder } from '@agentx/testing';
import type { TemporaryFolder } from '@agentx/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { exportJWK, exportPKCS8, exportSPKI, generateKeyPair, SignJWT, UnsecuredJWT } from 'jose';
import type { GenerateKeyPairResult, JWTPayload } from 'jose';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import type { Identify } from '../identity.ts';
import { createJwtIdentify } from './jwt.ts';
import type { JwtConfig, JwtKeys } from './jwt-config.ts';

const issuer = 'https://issuer.example';
const audience = 'agentx';
const logged: string[] = [];
const log = pino({ level: 'debug' }, { write: (line: string) => void logged.push(line) });

let folder: TemporaryFolder;
let keys: GenerateKeyPairResult;
let strangers: GenerateKeyPairResult;
let identify: Identify;

const config = (from: JwtKeys): JwtConfig => ({ issuer, audience, keys: from, tenantClaim: 'tenant' });
const file = async (name: string, text: string): Promise<string> => {
  const path = `${folder.path}/${name}`;
  await writeFile(path, text);
  return path;
};

beforeAll(async () => {
  folder = await temporaryFolder();
  keys = await generateKeyPair('ES256', { extractable: true });
  strangers = await generateKeyPair('ES256', { extractable: true });
  const path = await file('public.pem', await exportSPKI(keys.publicKey));
  identify = await createJwtIdentify(config({ kind: 'public-key', path }), log);
});
afterAll(() => folder.remove());

const now = () => Math.floor(Date.now() / 1000);
type Claims = Record<string, unknown>;
const claims = (over: Claims = {}): JWTPayload => ({
  iss: issuer,
  aud: audience,
  sub: 'someone',
  tenant: 'acme',
  exp: now() + 60,
  ...over,
});
const sign = (payload: JWTPayload, key = keys.privateKey, alg = 'ES256', kid?: string) =>
  new SignJWT(payload).setProtectedHeader({ alg, ...(kid !== undefined && { kid }) }).sign(key);
const call = async (token: string, by = identify) => by(new Headers({ authorization: `Bearer ${token}` }));
const unauthenticated = (reason: string) => ({ code: 16, reason });

describe('a token', () => {
  test('tells tenant and subject', async () => {
    expect(await call(await sign(claims()))).toEqual({ tenantId: 'acme', subject: 'someone' });
    expect(await call(await sign(claims({ aud: ['other', audience] })))).toMatchObject({ tenantId: 'acme' });
  });

  test('may have expired a moment ago, by a clock that is late', async () => {
    expect(await call(await sign(claims({ exp: now() - 3 })))).toMatchObject({ tenantId: 'acme' });
    await expect(call(await sign(claims({ exp: now() - 60 })))).rejects.toMatchObject(
      unauthenticated('TOKEN_EXPIRED'),
    );
  });

  test.each<[string, Claims]>([
    ['another issuer', { iss: 'https://other.example' }],
    ['another audience', { aud: 'other' }],
    ['no audience', { aud: undefined }],
    ['no expiry', { exp: undefined }],
    ['no subject', { sub: undefined }],
    ['not valid yet', { nbf: now() + 60 }],
    ['no tenant', { tenant: undefined }],
    ['a tenant that is no text', { tenant: ['acme'] }],
    ['a tenant that leads out of its folder', { tenant: '../acme' }],
    ['an empty tenant', { tenant: '' }],
  ])('%s: TOKEN_INVALID, and no word of why', async (_what, over) => {
    const error: unknown = await call(await sign(claims(over))).then(undefined, (e: unknown) => e);
    expect(error).toMatchObject(unauthenticated('TOKEN_INVALID'));
    expect(error).not.toHaveProperty('cause');
    expect((error as Error).message).toBe('the token is not accepted here: get one for this service');
  });

  test('signed by another key, not signed, or with the public key as a secret: TOKEN_INVALID', async () => {
    const secret = new TextEncoder().encode(await exportSPKI(keys.publicKey));
    const forged = [
      await sign(claims(), strangers.privateKey),
      new UnsecuredJWT(claims()).encode(),
      await new SignJWT(claims()).setProtectedHeader({ alg: 'HS256' }).sign(secret),
      `${await sign(claims())}x`,
      'nonsense',
      'a.b.c',
    ];
    for (const token of forged)
      await expect(call(token)).rejects.toMatchObject(unauthenticated('TOKEN_INVALID'));
  });

  test('missing, or of another scheme', async () => {
    await expect(async () => identify(new Headers())).rejects.toMatchObject(unauthenticated('TOKEN_MISSING'));
    await expect(async () => identify(new Headers({ authorization: 'Basic YTpi' }))).rejects.toMatchObject(
      unauthenticated('TOKEN_INVALID'),
    );
  });

  test('headers that name a tenant change nothing', async () => {
    const header = new Headers({
      authorization: `Bearer ${await sign(claims())}`,
      'x-agentx-tenant': 'other',
    });
    expect(await identify(header)).toMatchObject({ tenantId: 'acme' });
    await expect(async () => identify(new Headers({ 'x-agentx-tenant': 'other' }))).rejects.toMatchObject(
      unauthenticated('TOKEN_MISSING'),
    );
  });

  test('neither the token nor its claims are logged', async () => {
    const token = await sign(claims({ sub: 'a-person', iss: 'https://other.example' }));
    logged.length = 0;
    await expect(call(token)).rejects.toThrow();
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain('ERR_JWT_CLAIM_VALIDATION_FAILED');
    expect(logged[0]).not.toMatch(/a-person|eyJ/);
  });
});

test.each(['RS256', 'PS256', 'EdDSA', 'ES384'])('%s by a public key', async (alg) => {
  const pair = await generateKeyPair(alg, { extractable: true });
  const path = await file(`${alg}.pem`, await exportSPKI(pair.publicKey));
  const by = await createJwtIdentify(config({ kind: 'public-key', path }), log);
  expect(await call(await sign(claims(), pair.privateKey, alg), by)).toMatchObject({ tenantId: 'acme' });
  await expect(call(await sign(claims()), by)).rejects.toMatchObject(unauthenticated('TOKEN_INVALID'));
});

describe('a set of keys', () => {
  const keySet = async (pairs: Record<string, GenerateKeyPairResult>) =>
    JSON.stringify({
      keys: await Promise.all(
        Object.entries(pairs).map(async ([kid, { publicKey }]) => ({ ...(await exportJWK(publicKey)), kid })),
      ),
    });

  test('from a file: the key that the token names', async () => {
    const path = await file('keys.json', await keySet({ one: keys, two: strangers }));
    const by = await createJwtIdentify(config({ kind: 'jwks-file', path }), log);
    expect(await call(await sign(claims(), strangers.privateKey, 'ES256', 'two'), by)).toMatchObject({
      tenantId: 'acme',
    });
    await expect(call(await sign(claims(), keys.privateKey, 'ES256', 'two'), by)).rejects.toMatchObject(
      unauthenticated('TOKEN_INVALID'),
    );
    await expect(call(await sign(claims(), keys.privateKey, 'ES256', 'three'), by)).rejects.toMatchObject(
      unauthenticated('TOKEN_INVALID'),
    );
  });

  test('from an address: UNAVAILABLE while it cannot be fetched, then fetched once', async () => {
    let answer: string | undefined;
    let fetched = 0;
    const server = createServer((_request, response) => {
      fetched += 1;
      response.statusCode = answer === undefined ? 503 : 200;
      response.end(answer ?? 'later');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`;
      const by = await createJwtIdentify(config({ kind: 'jwks-url', url }), log);
      const token = await sign(claims(), keys.privateKey, 'ES256', 'one');
      await expect(call(token, by)).rejects.toMatchObject({ code: 14, reason: 'TOKEN_KEYS_UNAVAILABLE' });
      answer = 'no JSON';
      await expect(call(token, by)).rejects.toMatchObject({ code: 14, reason: 'TOKEN_KEYS_UNAVAILABLE' });
      answer = await keySet({ one: keys });
      fetched = 0;
      for (let i = 0; i < 3; i += 1) expect(await call(token, by)).toMatchObject({ tenantId: 'acme' });
      await expect(call('a.b.c', by)).rejects.toMatchObject(unauthenticated('TOKEN_INVALID'));
      expect(fetched).toBe(1);
    } finally {
      server.close();
    }
  });
});

test.each<[string, () => Promise<JwtKeys>, RegExp]>([
  [
    'no file',
    () => Promise.resolve({ kind: 'public-key', path: '/nowhere/key.pem' }),
    /AGENTX_JWT_PUBLIC_KEY: \/nowhere\/key\.pem cannot be read/,
  ],
  [
    'a private key',
    async () => ({ kind: 'public-key', path: await file('private.pem', await exportPKCS8(keys.privateKey)) }),
    /holds a private key; give the engine the public one/,
  ],
  [
    'no key',
    async () => ({ kind: 'public-key', path: await file('text.pem', 'hello') }),
    /is no public key or certificate/,
  ],
  [
    'no set of keys',
    async () => ({ kind: 'jwks-file', path: await file('text.json', '[]') }),
    /AGENTX_JWT_JWKS: .* is no set of keys/,
  ],
])('keys that cannot be used stop the start: %s', async (_what, from, message) => {
  await expect(createJwtIdentify(config(await from()), log)).rejects.toThrow(message);
});
