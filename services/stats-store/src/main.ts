import { createStoreMetrics, readEnv, runProgram, serveStore, storeConfig } from '@agentx/service-kit';
import { openStatsStore } from './open.ts';

await runProgram('stats-store', async (life) => {
  const { listen, opsListen, databaseUrl, directUrl, tls } = storeConfig(readEnv('stats-store', process.env));
  const metrics = createStoreMetrics('stats-store');
  const store = await openStatsStore({ databaseUrl, directUrl, log: life.log, metrics });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ listen, opsListen, tls, store, metrics, life });
  console.log(`AgentX stats-store on ${address}`);
});
