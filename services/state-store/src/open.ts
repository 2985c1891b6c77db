import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { openDatabase } from '@agentx/service-kit';
import type { OpenedStore, OpenStoreOptions } from '@agentx/service-kit';
import { createStateStoreService } from './service.ts';
import { entities } from './store/entities.ts';
import { migrations } from './store/migrations/index.ts';
import { createStateStore } from './store/sql-store.ts';

/** Opens the database, brings it up to date, and puts the service on top. */
export async function openStateStore(
  options: OpenStoreOptions,
): Promise<OpenedStore<typeof StateStoreService>> {
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
