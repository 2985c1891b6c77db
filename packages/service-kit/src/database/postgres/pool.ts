import pg from 'pg';
import type { Logger } from 'pino';

export interface PoolOptions {
  readonly url: string;
  readonly maxConnections: number;
  /** Longest wait for a connection, new or free. */
  readonly connectTimeoutMs?: number;
  readonly applicationName: string;
  readonly log: Logger;
}

/** Frees connections that nobody used for so long, so that an idle server can sleep. */
const idleTimeoutMs = 10_000;
const maxConnectTimeoutMs = 5_000;

/** Connects when first used, and again after the server was away. */
export function createPool(options: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max: options.maxConnections,
    connectionTimeoutMillis: Math.min(options.connectTimeoutMs ?? maxConnectTimeoutMs, maxConnectTimeoutMs),
    idleTimeoutMillis: idleTimeoutMs,
    keepAlive: true,
    types: { getTypeParser },
  });
  // An 'error' event without a listener ends the process. The pool drops the connection by itself.
  pool.on('error', (error) =>
    options.log.warn({ reason: error.message }, 'an idle connection to the database was lost'),
  );
  return pool;
}

/** An error of the connection itself, as against one that the server answered with. */
export interface ConnectionWatch {
  readonly lost: boolean;
  /** Closes the connection at once; whatever waits for it fails. */
  readonly cut: () => void;
  stop(): void;
}

/** While a connection is checked out nobody else listens for its errors. */
export function watchConnection(client: pg.PoolClient): ConnectionWatch {
  let lost = false;
  const onError = () => {
    lost = true;
  };
  client.on('error', onError);
  client.on('end', onError);
  return {
    get lost() {
      return lost;
    },
    cut() {
      lost = true;
      void client.end();
    },
    stop() {
      client.off('error', onError);
      client.off('end', onError);
    },
  };
}

type TypeParser = (text: string) => unknown;
const parseText = (text: string) => text;
const { builtins } = pg.types;
/** int8 as number, as on SQLite. Times stay text, as MikroORM expects them. */
const parsers = new Map<number, TypeParser>([
  [builtins.INT8, parseInt8],
  [builtins.DATE, parseText],
  [builtins.TIMESTAMP, parseText],
  [builtins.TIMESTAMPTZ, parseText],
  [builtins.INTERVAL, parseText],
]);

const getTypeParser: typeof pg.types.getTypeParser = (type: number, format?: 'text' | 'binary'): TypeParser =>
  parsers.get(type) ??
  (pg.types.getTypeParser as (type: number, format?: 'text' | 'binary') => TypeParser)(type, format);

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(
      `the database's number ${text} is beyond 2^53; cast it to text and read it as a bigint`,
    );
  }
  return value;
}
