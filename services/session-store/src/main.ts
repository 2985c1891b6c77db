import { createStoreMetrics, readEnv, runProgram, serveStore } from '@agentx/service-kit';
import { sessionStoreConfig } from './config.ts';
import { openSessionStore } from './open.ts';

await runProgram('session-store', async (life) => {
  const env = readEnv('session-store', process.env);
  const { listen, opsListen, databaseUrl, directUrl, tls } = sessionStoreConfig(env);
  const metrics = createStoreMetrics('session-store');
  const store = await openSessionStore({ databaseUrl, directUrl, log: life.log, metrics });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ listen, opsListen, tls, store, metrics, life });
  console.log(`AgentX session-store on ${address}`);
});
