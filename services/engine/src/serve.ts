import {
  createHealth,
  createJwtIdentify,
  createOnePortServer,
  createReadiness,
  createServiceChain,
  DEFAULT_TENANT,
  followDependencies,
  mountConnect,
  observeCalls,
  requireBrowserToken,
  startOps,
} from '@agentx/service-kit';
import type { Dependencies, Identity, Lifecycle, Metrics } from '@agentx/service-kit';
import type { EngineConfig } from './config.ts';
import type { OpenedEngine } from './open.ts';

/** Where callers need no token, everybody acts for the default tenant, whatever headers they send. */
const EVERYONE: Identity = { tenantId: DEFAULT_TENANT, subject: 'anonymous' };

/** Time for streams to deliver their last events once every turn has ended. */
const LAST_EVENTS_MS = 1000;
const SLACK_MS = 5000;

export interface ServeEngineOptions {
  readonly config: EngineConfig;
  readonly engine: OpenedEngine;
  readonly life: Lifecycle;
  readonly metrics: Metrics;
  readonly dependencies: Dependencies;
  /** Where callers need no token: calls of browsers need one of this start, which its pages are given. Default: false. */
  readonly browserToken?: boolean;
}

/**
 * Serves what clients call, by gRPC, gRPC-Web and Connect on one port, and metrics on another, until the program ends:
 * then no new turns, time for the running ones, and the end of all streams. Returns the URL of the API.
 */
export async function serveEngine(options: ServeEngineOptions): Promise<string> {
  const { config, engine, life, metrics, dependencies } = options;
  const { log } = life;
  const services = [engine.definition];
  const identify = config.jwt === undefined ? () => EVERYONE : await createJwtIdentify(config.jwt, log);
  const chain = createServiceChain({ log, identify, observers: [observeCalls(metrics)] });
  const health = createHealth(services);
  life.defer(
    followDependencies({ dependencies, health, services: services.map(({ desc }) => desc), metrics }),
    {
      name: 'health',
    },
  );
  const handler = mountConnect(services, chain, { log, health });
  const guarded = options.browserToken === true && config.jwt === undefined;
  const server = createOnePortServer({ handler: guarded ? requireBrowserToken(handler) : handler });

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
      // Streams that follow an agent have no end of their own: they get a status, not a cut connection.
      const cut = setTimeout(() => {
        chain.shutDown();
      }, LAST_EVENTS_MS);
      await server.close(2 * LAST_EVENTS_MS);
      clearTimeout(cut);
      chain.shutDown();
    },
    { name: 'engine', timeoutMs: config.drainMs + 2 * LAST_EVENTS_MS + SLACK_MS },
  );
  return url;
}
