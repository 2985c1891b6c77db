import { createStoreMetrics, readEnv, runProgram, serveStore, storeConfig } from '@agentx/service-kit';
import { openStateStore } from './open.ts';

await runProgram('state-store', async (life) => {
  const { listen, opsListen, databaseUrl, directUrl, tls } = storeConfig(readEnv('state-store', process.env));
  const metrics = createStoreMetrics('state-store');
  const store = await openStateStore({ databaseUrl, directUrl, log: life.log, metrics });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ listen, opsListen, tls, store, metrics, life });
  console.log(`AgentX state-store on ${address}`);
});
