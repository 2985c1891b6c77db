/** An issuer of tokens that lives as long as the test. */
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const [issuer, audience] = ['https://issuer.test', 'agentx'];

export interface Issuer {
  /** What an engine needs to accept the tokens. */
  readonly env: Readonly<Record<string, string>>;
  /** Headers of a call for a tenant. */
  headers(tenant: string): Promise<{ authorization: string }>;
}

export async function createIssuer(folder: string): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true });
  const keys = join(folder, 'keys.json');
  await writeFile(keys, JSON.stringify({ keys: [await exportJWK(publicKey)] }));
  return {
    env: { AGENTX_JWT_ISSUER: issuer, AGENTX_JWT_AUDIENCE: audience, AGENTX_JWT_JWKS: keys },
    headers: async (tenant) => {
      const token = await new SignJWT({ tenant })
        .setProtectedHeader({ alg: 'EdDSA' })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject('tester')
        .setExpirationTime('5m')
        .sign(privateKey);
      return { authorization: `Bearer ${token}` };
    },
  };
}
