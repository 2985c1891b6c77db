import type { DescService } from '@bufbuild/protobuf';
import { Gauge } from 'prom-client';
import type { Health } from '../health/health.ts';
import type { Metrics } from './metrics.ts';
import { allRequiredOk } from './readiness.ts';
import type { Dependencies } from './readiness.ts';

export interface FollowDependenciesOptions {
  readonly dependencies: Dependencies;
  readonly health: Health;
  /** What cannot be served without them. */
  readonly services: readonly DescService[];
  readonly metrics: Pick<Metrics, 'registry'>;
}

/** Lets gRPC health and a metric tell of the dependencies, until the function that it returns is called. */
export function followDependencies(options: FollowDependenciesOptions): () => void {
  const { dependencies, health, services, metrics } = options;
  const tell = () => {
    const serving = allRequiredOk(dependencies);
    for (const { typeName } of services) health.set(typeName, serving);
  };
  tell();
  new Gauge({
    name: 'agentx_dependency_ok',
    help: '1 where the last use of a dependency succeeded or there was none yet, else 0.',
    labelNames: ['dependency'],
    registers: [metrics.registry],
    collect() {
      for (const [dependency, { last }] of Object.entries(dependencies))
        this.set({ dependency }, last()?.ok === false ? 0 : 1);
    },
  });
  const forgets = Object.values(dependencies).map(({ onChange }) => onChange(tell));
  return () => {
    for (const forget of forgets) forget();
  };
}
