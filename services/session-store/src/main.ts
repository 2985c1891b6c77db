import { createStoreMetrics, readEnv, runProgram, serveStore, storeConfig } from '@agentx/service-kit';
import { openSessionStore } from './open.ts';

await runProgram('session-store', async (life) => {
  const { listen, opsListen, databaseUrl, directUrl, tls } = storeConfig(
    readEnv('session-store', process.env),
  );
  const metrics = createStoreMetrics('session-store');
  const store = await openSessionStore({ databaseUrl, directUrl, log: life.log, metrics });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ listen, opsListen, tls, store, metrics, life });
  console.log(`AgentX session-store on ${address}`);
});
