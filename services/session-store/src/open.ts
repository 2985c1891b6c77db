import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { openDatabase } from '@agentx/service-kit';
import type { Database, Logger, ServiceDefinition, StoreMetrics } from '@agentx/service-kit';
import { countSessionStore } from './metrics.ts';
import { createSessionStoreService } from './service.ts';
import { entities } from './store/entities.ts';
import { migrations } from './store/migrations/index.ts';
import { createSessionStore } from './store/sql-store.ts';

export interface OpenSessionStoreOptions {
  /** `sqlite:FOLDER` or `postgres://…`. */
  readonly databaseUrl: string;
  /** PostgreSQL past a transaction pooler. Default: `databaseUrl`. */
  readonly directUrl?: string | undefined;
  readonly log: Logger;
  /** Counts what happens. Default: nothing is counted. */
  readonly metrics?: StoreMetrics | undefined;
  /** True where this process is the only one that runs turns: then every turn found running has lost its engine. */
  readonly ownsAllEngines?: boolean;
}

export interface OpenedSessionStore extends AsyncDisposable {
  readonly definition: ServiceDefinition<typeof SessionStoreService>;
  readonly database: Database;
  close(): Promise<void>;
}

/** Opens the database, brings it up to date, and puts the service on top. */
export async function openSessionStore(options: OpenSessionStoreOptions): Promise<OpenedSessionStore> {
  const { databaseUrl, directUrl, log, metrics } = options;
  const database = await openDatabase({
    url: databaseUrl,
    directUrl,
    name: 'session',
    entities,
    migrations,
    log,
    observer: metrics?.databases.observe('session'),
  });
  const store = createSessionStore(database, { log });
  if (options.ownsAllEngines) await store.expireAllLeases();
  const counted = metrics === undefined ? store : countSessionStore(store, metrics);
  const close = async () => {
    store.close();
    await database.close();
  };
  return { definition: createSessionStoreService(counted), database, close, [Symbol.asyncDispose]: close };
}
