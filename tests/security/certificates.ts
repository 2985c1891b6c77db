/** Certificates of an authority that lives as long as the test, made by the openssl command. */
import { requirePart } from '@agentx/testing';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const openssl = async (...args: string[]) => promisify(execFile)((await requirePart('openssl')).path, args);
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export interface Authority {
  readonly ca: string;
  /** A certificate for a common name and alternative names (`DNS:engine-1`, `IP:127.0.0.1`). Days below 0: it has expired. */
  issue(
    name: string,
    options?: { readonly alternatives?: readonly string[]; readonly days?: number },
  ): Promise<Certificate>;
}

export async function createAuthority(folder: string, name: string): Promise<Authority> {
  const file = (suffix: string) => join(folder, `${name}-${suffix}`);
  const [ca, caKey] = [file('ca.crt'), file('ca.key')];
  const subject = ['-subj', `/CN=${name}`];
  await openssl('req', '-x509', ...newKey, '-keyout', caKey, '-out', ca, '-days', '1', ...subject);
  let issued = 0;
  return {
    ca,
    issue: async (commonName, { alternatives = [], days = 1 } = {}) => {
      const base = file(String((issued += 1)));
      const paths = { cert: `${base}.crt`, key: `${base}.key`, ca };
      const [request, extensions] = [`${base}.csr`, `${base}.ext`];
      await openssl(
        'req',
        '-new',
        ...newKey,
        '-keyout',
        paths.key,
        '-out',
        request,
        '-subj',
        `/CN=${commonName}`,
      );
      const names = alternatives.length === 0 ? '' : `subjectAltName=${alternatives.join(',')}\n`;
      await writeFile(extensions, `basicConstraints=CA:FALSE\n${names}`);
      const signed = ['-in', request, '-CA', ca, '-CAkey', caKey, '-CAcreateserial', '-extfile', extensions];
      await openssl('x509', '-req', ...signed, '-out', paths.cert, '-days', String(days));
      return paths;
    },
  };
}
