import {
  createHealth,
  createMetrics,
  createOnePortServer,
  createReadiness,
  createServiceChain,
  DEFAULT_TENANT,
  mountConnect,
  observeCalls,
  startOps,
} from '@agentx/service-kit';
import type { DependencyOutcome, Identity, Lifecycle, Program } from '@agentx/service-kit';
import type { EngineConfig } from './config.ts';
import type { OpenedEngine } from './open.ts';

/** Whoever reaches an engine without a proxy in front acts for the default tenant, whatever headers they send. */
const EVERYONE: Identity = { tenantId: DEFAULT_TENANT, subject: 'anonymous' };

/** Time for streams to deliver their last events once every turn has ended. */
const LAST_EVENTS_MS = 1000;
const SLACK_MS = 5000;

export interface ServeEngineOptions {
  readonly program: Program;
  readonly config: EngineConfig;
  readonly engine: OpenedEngine;
  readonly life: Lifecycle;
  /** What the engine depends on, by name: how its last use went. */
  readonly dependencies: Readonly<Record<string, () => DependencyOutcome | undefined>>;
}

/**
 * Serves what clients call, by gRPC, gRPC-Web and Connect on one port, and metrics on another, until the program ends:
 * then no new turns, time for the running ones, and the end of all streams. Returns the URL of the API.
 */
export async function serveEngine(options: ServeEngineOptions): Promise<string> {
  const { program, config, engine, life, dependencies } = options;
  const { log } = life;
  const metrics = createMetrics(program);
  const services = [engine.definition];
  const chain = createServiceChain({ log, identify: () => EVERYONE, observers: [observeCalls(metrics)] });
  const health = createHealth(services);
  const server = createOnePortServer({ handler: mountConnect(services, chain, { log, health }) });

  const ready = createReadiness({ ending: life.signal, dependencies });
  const ops = await startOps({ listen: config.opsListen, metrics, ready, log });
  life.defer(() => ops.close(), { name: 'ops' });
  const { url } = await server.listen(config.listen);
  life.onShutdown(() => {
    health.drain();
  });
  life.defer(
    async () => {
      await engine.drain();
      await server.close(LAST_EVENTS_MS);
      chain.shutDown();
    },
    { name: 'engine', timeoutMs: config.drainMs + LAST_EVENTS_MS + SLACK_MS },
  );
  return url;
}
