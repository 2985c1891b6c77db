import type { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { openDatabase } from '@agentx/service-kit';
import type { OpenedStore, OpenStoreOptions } from '@agentx/service-kit';
import { createStatsStoreService } from './service.ts';
import { entities } from './store/entities.ts';
import { migrations } from './store/migrations/index.ts';
import { createStatsStore } from './store/sql-store.ts';

/** Opens the database, brings it up to date, and puts the service on top. */
export async function openStatsStore(
  options: OpenStoreOptions,
): Promise<OpenedStore<typeof StatisticsStoreService>> {
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
