import { readEnv, runProgram, serveStore } from '@agentx/service-kit';
import { stateStoreConfig } from './config.ts';
import { openStateStore } from './open.ts';

await runProgram('state-store', async (life) => {
  const { listen, opsListen, databaseUrl, directUrl } = stateStoreConfig(readEnv('state-store', process.env));
  const store = await openStateStore({ databaseUrl, directUrl, log: life.log });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ program: 'state-store', listen, opsListen, store, life });
  console.log(`AgentX state-store on ${address}`);
});
