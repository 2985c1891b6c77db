import {
  clientsOf,
  connectStores,
  engineConfig,
  openEngine,
  serveEngine,
  storeDependencies,
} from '@agentx/engine';
import {
  chooseStores,
  createDirectTransport,
  createServiceChain,
  createStoreMetrics,
  databaseDependency,
  readEnv,
} from '@agentx/service-kit';
import type { Env, Lifecycle, StoreMetrics, TlsConfig } from '@agentx/service-kit';
import { openSessionStore } from '@agentx/session-store';
import { openStateStore } from '@agentx/state-store';
import { openStatsStore } from '@agentx/stats-store';

export interface StartedDesktop {
  readonly url: string;
  /** What every answer says of this engine; empty when there is nothing to say. */
  readonly notice: string;
}

/** Starts engine and stores in this process: the desktop's composition root. */
export async function startDesktop(env: NodeJS.ProcessEnv, life: Lifecycle): Promise<StartedDesktop> {
  const settings = readEnv('desktop', env);
  const config = engineConfig(settings);
  const metrics = createStoreMetrics('desktop');
  const { stores, dependencies } = await openStores(settings, config.tls, metrics, life);
  const engine = await openEngine(config, stores, metrics, life.log);
  const url = await serveEngine({ config, engine, life, metrics, dependencies, browserToken: true });
  return { url, notice: engine.notice };
}

/** The stores in this process, or where the environment says they are. */
async function openStores(
  env: Env<'desktop'>,
  tls: TlsConfig | undefined,
  metrics: StoreMetrics,
  life: Lifecycle,
) {
  const choice = chooseStores(env);
  if (choice.kind === 'grpc') {
    const stores = await connectStores(choice, tls);
    life.defer(() => stores.close(), { name: 'stores' });
    return { stores, dependencies: stores.dependencies };
  }
  const { log } = life;
  const database = {
    databaseUrl: env.AGENTX_DATABASE_URL,
    directUrl: env.AGENTX_DATABASE_DIRECT_URL,
    log,
    metrics,
  };
  const session = await openSessionStore({ ...database, ownsAllEngines: true });
  life.defer(() => session.close(), { name: 'session-store' });
  const stats = await openStatsStore(database);
  life.defer(() => stats.close(), { name: 'stats-store' });
  const state = await openStateStore(database);
  life.defer(() => state.close(), { name: 'state-store' });
  const transport = createDirectTransport(
    [session.definition, stats.definition, state.definition],
    createServiceChain({ log }),
  );
  return {
    stores: clientsOf({ session: transport, stats: transport, state: transport }),
    dependencies: storeDependencies({
      session: databaseDependency(session.database),
      stats: databaseDependency(stats.database),
      state: databaseDependency(state.database),
    }),
  };
}
