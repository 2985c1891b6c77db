import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { credentials, ServerCredentials } from '@grpc/grpc-js';
import type { ChannelCredentials } from '@grpc/grpc-js';
import type { Env } from '../env/index.ts';
import { StartError } from '../lifecycle/index.ts';

/** Paths of PEM files: what engines and stores prove to each other who they are with. */
export interface TlsConfig {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Undefined where engines and stores speak without TLS. `env` comes from `readEnv`, which refuses a part of it. */
export function tlsConfig(
  env: Pick<Env<'engine'>, 'AGENTX_TLS_CERT' | 'AGENTX_TLS_KEY' | 'AGENTX_TLS_CA'>,
): TlsConfig | undefined {
  const { AGENTX_TLS_CERT: cert, AGENTX_TLS_KEY: key, AGENTX_TLS_CA: ca } = env;
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  if (cert === undefined || key === undefined || ca === undefined)
    throw new Error('the variables of TLS are set in part');
  return { cert, key, ca };
}

/** What a store listens with: callers must show a certificate of the authority. Throws `StartError`. */
export async function storeCredentials(tls: TlsConfig): Promise<ServerCredentials> {
  const { cert, key, ca } = await readTlsFiles(tls);
  return ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true);
}

/** What a client calls a store with. Throws `StartError`. */
export async function callerCredentials(tls: TlsConfig): Promise<ChannelCredentials> {
  const { cert, key, ca } = await readTlsFiles(tls);
  return credentials.createSsl(ca, key, cert);
}

interface TlsFiles {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer;
}

async function readTlsFiles(tls: TlsConfig): Promise<TlsFiles> {
  const cert = await readPem('AGENTX_TLS_CERT', tls.cert);
  const key = await readPem('AGENTX_TLS_KEY', tls.key);
  const ca = await readPem('AGENTX_TLS_CA', tls.ca);
  const certificate = parsed('AGENTX_TLS_CERT', tls.cert, 'certificate', () => new X509Certificate(cert));
  const privateKey = parsed('AGENTX_TLS_KEY', tls.key, 'private key', () => createPrivateKey(key));
  parsed('AGENTX_TLS_CA', tls.ca, 'certificate', () => new X509Certificate(ca));
  if (!certificate.checkPrivateKey(privateKey))
    throw new StartError(`AGENTX_TLS_KEY: ${tls.key} is not the key of the certificate ${tls.cert}`);
  if (certificate.validToDate < new Date())
    throw new StartError(`AGENTX_TLS_CERT: ${tls.cert} has expired (${certificate.validTo}); renew it`);
  return { cert, key, ca };
}

async function readPem(variable: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new StartError(`${variable}: ${path} cannot be read`, { cause });
  }
}

function parsed<T>(variable: string, path: string, what: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new StartError(`${variable}: ${path} holds no ${what} in PEM form`, { cause });
  }
}
