import { createPublicKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Code } from '@connectrpc/connect';
import { createLocalJWKSet, createRemoteJWKSet, errors, jwtVerify } from 'jose';
import type { JSONWebKeySet, JWTPayload, JWTVerifyGetKey, JWTVerifyOptions } from 'jose';
import { DomainError } from '../errors.ts';
import { isTenantId } from '../identity.ts';
import type { Identify } from '../identity.ts';
import { StartError } from '../lifecycle/index.ts';
import type { Logger } from '../logging/index.ts';
import type { JwtConfig, JwtKeys } from './jwt-config.ts';

/** How far the clocks of issuer and engine may differ. */
const CLOCK_TOLERANCE_S = 10;
const FETCH_TIMEOUT_MS = 5_000;
const KEYS_MAX_AGE_MS = 10 * 60_000;

/** Signatures by a key that only the issuer has. Never `none`, never a secret that the verifier shares. */
const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const EC: Readonly<Record<string, string>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' };
const EDWARDS = ['EdDSA', 'Ed25519'];
const ALGORITHMS = [...RSA, ...Object.values(EC), ...EDWARDS];

interface Verifier {
  readonly algorithms: readonly string[];
  verify(token: string, options: JWTVerifyOptions): Promise<{ payload: JWTPayload }>;
}

/**
 * Tells who calls by the token in `authorization: Bearer …`. Throws
 * - UNAUTHENTICATED `TOKEN_MISSING`, `TOKEN_EXPIRED`, `TOKEN_INVALID`; why a token is invalid is logged at debug level only
 * - UNAVAILABLE `TOKEN_KEYS_UNAVAILABLE` while the issuer's keys cannot be fetched
 *
 * Rejects with `StartError` when the keys cannot be read.
 */
export async function createJwtIdentify(config: JwtConfig, log: Logger): Promise<Identify> {
  const { issuer, audience, tenantClaim } = config;
  const verifier = await openVerifier(config.keys);
  const options: JWTVerifyOptions = {
    issuer,
    audience,
    algorithms: [...verifier.algorithms],
    clockTolerance: CLOCK_TOLERANCE_S,
    requiredClaims: ['exp', 'sub'],
  };
  return async (header) => {
    const token = bearerToken(header);
    const { payload } = await verifier.verify(token, options).catch((error: unknown) => {
      throw refusalOf(error, config.keys, log);
    });
    const tenantId = payload[tenantClaim];
    if (typeof tenantId !== 'string' || !isTenantId(tenantId)) {
      log.debug({ claim: tenantClaim }, 'a token was refused: its claim names no tenant');
      throw invalidToken();
    }
    return { tenantId, subject: payload.sub ?? '' };
  };
}

function bearerToken(header: Headers): string {
  const value = header.get('authorization');
  if (value === null)
    throw unauthenticated(
      'TOKEN_MISSING',
      'the call carries no token: send it as "authorization: Bearer TOKEN"',
    );
  const token = /^Bearer +(\S+)$/i.exec(value)?.[1];
  if (token === undefined) throw invalidToken();
  return token;
}

async function openVerifier(keys: JwtKeys): Promise<Verifier> {
  if (keys.kind === 'public-key') {
    const key = await readPublicKey(keys.path);
    const algorithms = algorithmsOf(key);
    return { algorithms, verify: (token, options) => jwtVerify(token, key, options) };
  }
  const getKey: JWTVerifyGetKey =
    keys.kind === 'jwks-url'
      ? createRemoteJWKSet(new URL(keys.url), {
          timeoutDuration: FETCH_TIMEOUT_MS,
          cacheMaxAge: KEYS_MAX_AGE_MS,
        })
      : await readKeySet(keys.path);
  return { algorithms: ALGORITHMS, verify: (token, options) => jwtVerify(token, getKey, options) };
}

async function readPublicKey(path: string): Promise<KeyObject> {
  const text = await readText('AGENTX_JWT_PUBLIC_KEY', path);
  if (text.includes('PRIVATE KEY'))
    throw new StartError(
      `AGENTX_JWT_PUBLIC_KEY: ${path} holds a private key; give the engine the public one`,
    );
  try {
    return createPublicKey(text);
  } catch (cause) {
    throw new StartError(`AGENTX_JWT_PUBLIC_KEY: ${path} is no public key or certificate in PEM form`, {
      cause,
    });
  }
}

async function readKeySet(path: string): Promise<JWTVerifyGetKey> {
  const text = await readText('AGENTX_JWT_JWKS', path);
  try {
    return createLocalJWKSet(JSON.parse(text) as JSONWebKeySet);
  } catch (cause) {
    throw new StartError(`AGENTX_JWT_JWKS: ${path} is no set of keys in JSON ({"keys":[…]})`, { cause });
  }
}

async function readText(variable: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new StartError(`${variable}: ${path} cannot be read`, { cause });
  }
}

function algorithmsOf(key: KeyObject): readonly string[] {
  const curve = key.asymmetricKeyDetails?.namedCurve ?? '';
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return RSA;
    case 'ed25519':
      return EDWARDS;
    case 'ec':
      if (EC[curve] !== undefined) return [EC[curve]];
      break;
    default:
  }
  throw new StartError(
    `AGENTX_JWT_PUBLIC_KEY: keys of type ${key.asymmetricKeyType ?? 'unknown'} ${curve} are not supported; ` +
      'use RSA, P-256, P-384, P-521 or Ed25519',
  );
}

function refusalOf(error: unknown, keys: JwtKeys, log: Logger): unknown {
  if (keys.kind === 'jwks-url' && !saysSomethingOfTheToken(error)) {
    return new DomainError(
      Code.Unavailable,
      'TOKEN_KEYS_UNAVAILABLE',
      'the keys that tokens are verified with cannot be fetched: try again',
      { cause: error },
    );
  }
  if (!(error instanceof errors.JOSEError)) return error;
  // What the error carries besides are the token's claims, which concern nobody here.
  log.debug({ code: error.code, message: error.message }, 'a token was refused');
  return error instanceof errors.JWTExpired
    ? unauthenticated('TOKEN_EXPIRED', 'the token has expired: get a new one')
    : invalidToken();
}

/** As against an error of fetching the keys: the network's, a wrong answer, or none in time. */
function saysSomethingOfTheToken(error: unknown): boolean {
  return (
    error instanceof errors.JOSEError &&
    !(error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid) &&
    error.code !== 'ERR_JOSE_GENERIC'
  );
}

const unauthenticated = (reason: string, text: string) => new DomainError(Code.Unauthenticated, reason, text);

const invalidToken = () =>
  unauthenticated('TOKEN_INVALID', 'the token is not accepted here: get one for this service');
