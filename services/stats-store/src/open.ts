import type { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { openDatabase } from '@agentx/service-kit';
import type { Database, Logger, ServiceDefinition, StoreMetrics } from '@agentx/service-kit';
import { createStatsStoreService } from './service.ts';
import { entities } from './store/entities.ts';
import { migrations } from './store/migrations/index.ts';
import { createStatsStore } from './store/sql-store.ts';

export interface OpenStatsStoreOptions {
  /** `sqlite:FOLDER` or `postgres://…`. */
  readonly databaseUrl: string;
  /** PostgreSQL past a transaction pooler. Default: `databaseUrl`. */
  readonly directUrl?: string | undefined;
  readonly log: Logger;
  /** Counts what happens. Default: nothing is counted. */
  readonly metrics?: StoreMetrics | undefined;
}

export interface OpenedStatsStore extends AsyncDisposable {
  readonly definition: ServiceDefinition<typeof StatisticsStoreService>;
  readonly database: Database;
  close(): Promise<void>;
}

/** Opens the database, brings it up to date, and puts the service on top. */
export async function openStatsStore(options: OpenStatsStoreOptions): Promise<OpenedStatsStore> {
  const { databaseUrl, directUrl, log, metrics } = options;
  const database = await openDatabase({
    url: databaseUrl,
    directUrl,
    name: 'stats',
    entities,
    migrations,
    log,
    observer: metrics?.databases.observe('stats'),
  });
  const store = createStatsStore(database);
  const close = () => database.close();
  return { definition: createStatsStoreService(store), database, close, [Symbol.asyncDispose]: close };
}
