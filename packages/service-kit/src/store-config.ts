import type { DescService } from '@bufbuild/protobuf';
import type { Database } from './database/index.ts';
import type { Env } from './env/index.ts';
import type { Logger } from './logging/index.ts';
import type { StoreMetrics } from './ops/index.ts';
import { tlsConfig } from './security/index.ts';
import type { TlsConfig } from './security/index.ts';
import type { ServiceDefinition } from './service.ts';

/** What a store is told by its environment; the same for each. */
export interface StoreConfig {
  readonly listen: string;
  readonly opsListen: string;
  readonly databaseUrl: string;
  readonly directUrl: string | undefined;
  readonly tls: TlsConfig | undefined;
}

/** Nests the flat environment of a store. */
export function storeConfig(
  env: Env<'session-store'> | Env<'stats-store'> | Env<'state-store'>,
): StoreConfig {
  return {
    listen: env.AGENTX_LISTEN,
    opsListen: env.AGENTX_OPS_LISTEN,
    databaseUrl: env.AGENTX_DATABASE_URL,
    directUrl: env.AGENTX_DATABASE_DIRECT_URL,
    tls: tlsConfig(env),
  };
}

/** What each store is opened with. */
export interface OpenStoreOptions {
  /** `sqlite:FOLDER` or `postgres://…`. */
  readonly databaseUrl: string;
  /** PostgreSQL past a transaction pooler. Default: `databaseUrl`. */
  readonly directUrl?: string | undefined;
  readonly log: Logger;
  /** Counts what happens. Default: nothing is counted. */
  readonly metrics?: StoreMetrics | undefined;
}

/** A store in this process: its service, to be mounted, on top of its database. */
export interface OpenedStore<S extends DescService = DescService> extends AsyncDisposable {
  readonly definition: ServiceDefinition<S>;
  readonly database: Database;
  close(): Promise<void>;
}
