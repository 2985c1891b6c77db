import type { Database } from './database/index.ts';
import { createHealth } from './health/health.ts';
import type { Lifecycle } from './lifecycle/index.ts';
import { createServiceChain } from './middleware.ts';
import { mountGrpc } from './mounts/grpc.ts';
import { createReadiness, followDependencies, observeCalls, startOps } from './ops/index.ts';
import type { Dependency, Metrics } from './ops/index.ts';
import { allowByCertificate, storeCredentials } from './security/index.ts';
import type { TlsConfig } from './security/index.ts';
import type { ServiceDefinition } from './service.ts';

/** Time for running calls to finish once the program is to end. */
const GRACE_MS = 5_000;
const SLACK_MS = 1_000;

export interface ServeStoreOptions {
  /** `host:port` of gRPC, and of metrics and readiness. */
  readonly listen: string;
  readonly opsListen: string;
  /** Mutual TLS: only engines are served, by their certificate. Undefined: whoever reaches the address is believed. */
  readonly tls: TlsConfig | undefined;
  readonly store: { readonly definition: ServiceDefinition; readonly database: Database };
  readonly metrics: Metrics;
  readonly life: Lifecycle;
}

/**
 * Serves a store by gRPC, and its metrics on another port, until the program ends. Its health follows the database's
 * last real outcome. Returns `host:port` of gRPC.
 */
export async function serveStore(options: ServeStoreOptions): Promise<string> {
  const { life, store, metrics } = options;
  const { definition, database } = store;
  const { log } = life;
  const chain = createServiceChain({ log, observers: [observeCalls(metrics)] });
  const health = createHealth([definition]);
  const dependencies = { database: databaseDependency(database) };
  life.defer(followDependencies({ dependencies, health, services: [definition.desc], metrics }), {
    name: 'health',
  });

  const ready = createReadiness({ ending: life.signal, dependencies });
  const ops = await startOps({ listen: options.opsListen, metrics, ready, log });
  life.defer(() => ops.close(), { name: 'ops' });

  const server = mountGrpc([definition], chain, {
    health,
    ...(options.tls && {
      credentials: await storeCredentials(options.tls),
      interceptors: [allowByCertificate(log)],
    }),
  });
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

/** A database, as something that a program works with. */
export function databaseDependency(database: Database): Dependency {
  return { last: () => database.lastOutcome, onChange: (listener) => database.onOutcomeChange(listener) };
}
