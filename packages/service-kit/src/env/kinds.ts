import { resolve } from 'node:path';
import { maskDatabaseUrl, parseDatabaseUrl } from './database-url.ts';
import { isLoopbackHost, parseHostPort } from './host-port.ts';
import { InvalidValue } from './invalid-value.ts';
import { parseStoreTarget } from './store-target.ts';

/** How the text of a variable becomes a value. */
export interface Kind<T extends string | number | boolean> {
  /** What the value looks like, for the reference: `host:port`. */
  readonly form: string;
  /** Throws `InvalidValue`. */
  parse(text: string): T;
  /** The text as it may be shown in an error. Default: as it is. */
  readonly show?: (text: string) => string;
}

/** Any text in one line. */
export const text: Kind<string> = {
  form: 'text',
  parse(value) {
    if (value.trim() === '' || /[\r\n]/.test(value)) {
      throw new InvalidValue('is blank or has several lines', 'one line of text');
    }
    return value;
  },
};

/** An identifier that goes into logs, events and addresses. */
export const identifier: Kind<string> = {
  form: 'letters, digits, `.`, `_`, `-`; 128 at most',
  parse(value) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(value)) {
      throw new InvalidValue('is not an identifier', "letters, digits, '.', '_' and '-', 128 at most");
    }
    return value;
  },
};

/** A whole number from `min` to `max`, in `unit`. */
export function integer(options: { min: number; max: number; unit: string }): Kind<number> {
  const form = `${options.unit}, ${options.min} to ${options.max}`;
  return {
    form,
    parse(value) {
      if (!/^-?\d+$/.test(value)) throw new InvalidValue('is not a whole number', form);
      const number = Number(value);
      if (number < options.min || number > options.max) throw new InvalidValue('is out of range', form);
      return number;
    },
  };
}

/** A number from 0 to 1. */
export const share: Kind<number> = {
  form: 'a number from 0 to 1',
  parse(value) {
    const number = Number(value);
    if (!/^[\d.]+$/.test(value) || !(number >= 0 && number <= 1)) {
      throw new InvalidValue('is not a share', 'a number from 0 to 1');
    }
    return number;
  },
};

/** One of a few words. */
export function choice<const T extends string>(...words: readonly T[]): Kind<T> {
  return {
    form: words.map((word) => `\`${word}\``).join(', '),
    parse(value) {
      const found = words.find((word) => word === value);
      if (found === undefined) throw new InvalidValue('is not one of the choices', words.join(', '));
      return found;
    },
  };
}

/** Yes or no. */
export const boolean: Kind<boolean> = {
  form: '`true` or `false`',
  parse(value) {
    if (value !== 'true' && value !== 'false') {
      throw new InvalidValue('is neither true nor false', 'true or false');
    }
    return value === 'true';
  },
};

/** A path; the value is absolute, seen from the current folder. */
export const path: Kind<string> = {
  form: 'path',
  parse(value) {
    if (value.trim() === '' || value.includes('\0')) throw new InvalidValue('is not a path', 'a path');
    return resolve(value);
  },
};

/** An address to listen on; see `parseHostPort`. */
export const hostPort: Kind<string> = {
  form: '`host:port`',
  parse(value) {
    parseHostPort(value);
    return value;
  },
};

/** An address of HTTP. */
export const httpUrl: Kind<string> = {
  form: '`http://…` or `https://…`',
  parse(value) {
    if (!/^https?:\/\//.test(value) || !URL.canParse(value)) {
      throw new InvalidValue('is not a web address', 'http://… or https://…');
    }
    return value;
  },
  show: maskDatabaseUrl,
};

/** True for `http://…` and `https://…`. */
export function isWebAddress(value: string): boolean {
  return /^https?:\/\//.test(value);
}

/** Where public keys are: an address of HTTPS, or a file. */
export const keysLocation: Kind<string> = {
  form: '`https://…` or a path',
  parse(value) {
    if (!isWebAddress(value)) return path.parse(value);
    const url = httpUrl.parse(value);
    const { protocol, hostname } = new URL(url);
    if (protocol === 'http:' && !isLoopbackHost(hostname.replace(/^\[|\]$/g, ''))) {
      throw new InvalidValue(
        'is fetched without TLS, so anybody on the way could put in other keys',
        'https://… or a path',
      );
    }
    return url;
  },
};

/** Where data is kept; see `parseDatabaseUrl`. */
export const databaseUrl: Kind<string> = {
  form: '`sqlite:FOLDER` or `postgres://…`',
  parse(value) {
    parseDatabaseUrl(value);
    return value;
  },
  show: maskDatabaseUrl,
};

/** Where a store is; see `parseStoreTarget`. */
export const storeTarget: Kind<string> = {
  form: '`local` or a gRPC target',
  parse(value) {
    parseStoreTarget(value);
    return value;
  },
};
