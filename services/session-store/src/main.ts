import { readEnv, runProgram, serveStore } from '@agentx/service-kit';
import { sessionStoreConfig } from './config.ts';
import { openSessionStore } from './open.ts';

await runProgram('session-store', async (life) => {
  const env = readEnv('session-store', process.env);
  const { listen, opsListen, databaseUrl, directUrl } = sessionStoreConfig(env);
  const store = await openSessionStore({ databaseUrl, directUrl, log: life.log });
  life.defer(() => store.close(), { name: 'database' });
  const address = await serveStore({ program: 'session-store', listen, opsListen, store, life });
  console.log(`AgentX session-store on ${address}`);
});
