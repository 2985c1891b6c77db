import { isWebAddress } from '../env/index.ts';
import type { Env } from '../env/index.ts';

/** Where the keys are that tokens are verified with. */
export type JwtKeys =
  | { readonly kind: 'jwks-url'; readonly url: string }
  | { readonly kind: 'jwks-file'; readonly path: string }
  /** A public key or a certificate as PEM. */
  | { readonly kind: 'public-key'; readonly path: string };

/** Which tokens (JSON Web Tokens) say who calls. */
export interface JwtConfig {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: JwtKeys;
  /** Name of the claim that holds the tenant. */
  readonly tenantClaim: string;
}

type JwtEnv = Pick<
  Env<'engine'>,
  | 'AGENTX_JWT_ISSUER'
  | 'AGENTX_JWT_AUDIENCE'
  | 'AGENTX_JWT_JWKS'
  | 'AGENTX_JWT_PUBLIC_KEY'
  | 'AGENTX_JWT_TENANT_CLAIM'
>;

/** Undefined where callers need no token. `env` comes from `readEnv`, which refuses half of a configuration. */
export function jwtConfig(env: JwtEnv): JwtConfig | undefined {
  const { AGENTX_JWT_ISSUER: issuer, AGENTX_JWT_AUDIENCE: audience } = env;
  const keys = keysOf(env);
  if (issuer === undefined && audience === undefined && keys === undefined) return undefined;
  if (issuer === undefined || audience === undefined || keys === undefined)
    throw new Error('the variables of tokens are set in part');
  return { issuer, audience, keys, tenantClaim: env.AGENTX_JWT_TENANT_CLAIM };
}

function keysOf({ AGENTX_JWT_JWKS: jwks, AGENTX_JWT_PUBLIC_KEY: publicKey }: JwtEnv): JwtKeys | undefined {
  if (publicKey !== undefined) return { kind: 'public-key', path: publicKey };
  if (jwks === undefined) return undefined;
  return isWebAddress(jwks) ? { kind: 'jwks-url', url: jwks } : { kind: 'jwks-file', path: jwks };
}
