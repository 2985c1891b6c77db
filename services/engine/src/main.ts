import { chooseStores, createMetrics, readEnv, runProgram, StartError } from '@agentx/service-kit';
import { engineConfig } from './config.ts';
import { connectStores } from './connect-stores.ts';
import { openEngine } from './open.ts';
import { serveEngine } from './serve.ts';

await runProgram('engine', async (life) => {
  const env = readEnv('engine', process.env);
  const config = engineConfig(env);
  const choice = chooseStores(env);
  if (choice.kind === 'local')
    throw new StartError(
      'the stores cannot be local to an engine of its own: npm start runs all in one process',
    );
  const stores = await connectStores(choice, config.tls);
  life.defer(
    () => {
      stores.close();
    },
    { name: 'stores' },
  );
  const metrics = createMetrics('engine');
  const engine = await openEngine(config, stores, metrics, life.log);
  const url = await serveEngine({
    config,
    engine,
    life,
    metrics,
    dependencies: stores.dependencies,
  });
  console.log(
    `AgentX engine ${config.engineId} on ${url}${engine.notice === '' ? '' : `. ${engine.notice}`}`,
  );
});
