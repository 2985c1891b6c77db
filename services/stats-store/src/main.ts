import { readEnv, runProgram, serveStore } from '@agentx/service-kit';
import { statsStoreConfig } from './config.ts';
import { openStatsStore } from './open.ts';

await runProgram('stats-store', async (life) => {
  const { listen, opsListen, databaseUrl, directUrl } = statsStoreConfig(readEnv('stats-store', process.env));
  const store = await openStatsStore({ databaseUrl, directUrl, log: life.log });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ program: 'stats-store', listen, opsListen, store, life });
  console.log(`AgentX stats-store on ${address}`);
});
