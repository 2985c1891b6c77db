import type { Database } from './database/index.ts';
import type { Program } from './env/index.ts';
import { createHealth } from './health/health.ts';
import type { Lifecycle } from './lifecycle/index.ts';
import { createServiceChain } from './middleware.ts';
import { mountGrpc } from './mounts/grpc.ts';
import { createMetrics, createReadiness, observeCalls, startOps } from './ops/index.ts';
import type { ServiceDefinition } from './service.ts';

/** Time for running calls to finish once the program is to end. */
const GRACE_MS = 5_000;
const SLACK_MS = 1_000;

export interface ServeStoreOptions {
  readonly program: Program;
  /** `host:port` of gRPC, and of metrics and readiness. */
  readonly listen: string;
  readonly opsListen: string;
  readonly store: { readonly definition: ServiceDefinition; readonly database: Database };
  readonly life: Lifecycle;
}

/**
 * Serves a store by gRPC, and its metrics on another port, until the program ends. Its health follows the database's
 * last real outcome. Returns `host:port` of gRPC.
 */
export async function serveStore(options: ServeStoreOptions): Promise<string> {
  const { program, life, store } = options;
  const { definition, database } = store;
  const { log } = life;
  const metrics = createMetrics(program);
  const chain = createServiceChain({ log, observers: [observeCalls(metrics)] });
  const health = createHealth([definition]);
  const forget = database.onOutcomeChange((ok) => {
    health.set(definition.desc.typeName, ok);
  });
  life.defer(forget);

  const dependencies = { database: () => database.lastOutcome };
  const ready = createReadiness({ ending: life.signal, dependencies });
  const ops = await startOps({ listen: options.opsListen, metrics, ready, log });
  life.defer(() => ops.close(), { name: 'ops' });

  const server = mountGrpc([definition], chain, { health });
  const address = await server.listen(options.listen);
  life.onShutdown(() => {
    health.drain();
  });
  life.defer(
    async () => {
      await server.close(GRACE_MS);
      chain.shutDown();
    },
    { name: 'server', timeoutMs: GRACE_MS + SLACK_MS },
  );
  return address.text;
}
