import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { openDatabase } from '@agentx/service-kit';
import type { OpenedStore, OpenStoreOptions } from '@agentx/service-kit';
import { countSessionStore } from './metrics.ts';
import { createSessionStoreService } from './service.ts';
import { entities } from './store/entities.ts';
import { migrations } from './store/migrations/index.ts';
import { createSessionStore } from './store/sql-store.ts';

export interface OpenSessionStoreOptions extends OpenStoreOptions {
  /** True where this process is the only one that runs turns: then every turn found running has lost its engine. */
  readonly ownsAllEngines?: boolean;
}

/** Opens the database, brings it up to date, and puts the service on top. */
export async function openSessionStore(
  options: OpenSessionStoreOptions,
): Promise<OpenedStore<typeof SessionStoreService>> {
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
