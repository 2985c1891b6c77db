import { createStoreMetrics, readEnv, runProgram, serveStore } from '@agentx/service-kit';
import { statsStoreConfig } from './config.ts';
import { openStatsStore } from './open.ts';

await runProgram('stats-store', async (life) => {
  const { listen, opsListen, databaseUrl, directUrl, tls } = statsStoreConfig(
    readEnv('stats-store', process.env),
  );
  const metrics = createStoreMetrics('stats-store');
  const store = await openStatsStore({ databaseUrl, directUrl, log: life.log, metrics });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ listen, opsListen, tls, store, metrics, life });
  console.log(`AgentX stats-store on ${address}`);
});
