import { resolve } from 'node:path';
import { InvalidValue } from './invalid-value.ts';

/** Where a store keeps its data. */
export type DatabaseLocation =
  | {
      readonly kind: 'sqlite';
      /** Absolute path of the folder; each store has a file of its own in it. */
      readonly folder: string;
    }
  | { readonly kind: 'postgres'; readonly url: string };

const expected = 'sqlite:FOLDER or postgres://user:password@host:port/database';

/** Reads `sqlite:FOLDER` or `postgres://…`. Throws `InvalidValue`. */
export function parseDatabaseUrl(text: string): DatabaseLocation {
  if (text.startsWith('sqlite:')) {
    const folder = text.slice('sqlite:'.length);
    if (folder.trim() === '') throw new InvalidValue('names no folder', expected);
    if (folder.startsWith('//')) {
      throw new InvalidValue(
        'has slashes after sqlite:',
        'sqlite:FOLDER, for example sqlite:/var/lib/agentx',
      );
    }
    return { kind: 'sqlite', folder: resolve(folder) };
  }
  const url = /^postgres(ql)?:\/\//.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (!url) throw new InvalidValue('is not the address of a database', expected);
  if (url.hostname === '' && !url.searchParams.get('host')) throw new InvalidValue('names no host', expected);
  return { kind: 'postgres', url: text };
}

/** The text with everything in it that may be a password replaced, also where the text is not a proper URL. */
export function maskDatabaseUrl(text: string): string {
  return text
    .replace(/^([a-z]+:(?:\/\/)?(?:[^\s:/@]*:)?).*@/is, '$1***@')
    .replace(/(password\s*=\s*)[^\s&]*/gi, '$1***');
}
