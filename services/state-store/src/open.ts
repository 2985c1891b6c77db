import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { openDatabase } from '@agentx/service-kit';
import type { Database, Logger, ServiceDefinition, StoreMetrics } from '@agentx/service-kit';
import { createStateStoreService } from './service.ts';
import { entities } from './store/entities.ts';
import { migrations } from './store/migrations/index.ts';
import { createStateStore } from './store/sql-store.ts';

export interface OpenStateStoreOptions {
  /** `sqlite:FOLDER` or `postgres://…`. */
  readonly databaseUrl: string;
  /** PostgreSQL past a transaction pooler. Default: `databaseUrl`. */
  readonly directUrl?: string | undefined;
  readonly log: Logger;
  /** Counts what happens. Default: nothing is counted. */
  readonly metrics?: StoreMetrics | undefined;
}

export interface OpenedStateStore extends AsyncDisposable {
  readonly definition: ServiceDefinition<typeof StateStoreService>;
  readonly database: Database;
  close(): Promise<void>;
}

/** Opens the database, brings it up to date, and puts the service on top. */
export async function openStateStore(options: OpenStateStoreOptions): Promise<OpenedStateStore> {
  const { databaseUrl, directUrl, log, metrics } = options;
  const database = await openDatabase({
    url: databaseUrl,
    directUrl,
    name: 'state',
    entities,
    migrations,
    log,
    observer: metrics?.databases.observe('state'),
  });
  const store = createStateStore(database);
  const close = () => database.close();
  return { definition: createStateStoreService(store), database, close, [Symbol.asyncDispose]: close };
}
