import type { ServiceDefinition } from '../service.ts';

/** Whether services can answer, as `grpc.health.v1` tells it. The service named '' stands for the server as a whole. */
export interface Health {
  /** Says whether a service can answer. The whole server can while all of its services can. */
  set(service: string, serving: boolean): void;
  /** All services stop serving for good: what a server says before it goes away, while it still answers. */
  drain(): void;
  /** Undefined for a service that is not served here. */
  isServing(service: string): boolean | undefined;
  /** All services by name, the whole server among them. */
  statuses(): ReadonlyMap<string, boolean>;
  /** Calls back when a service's status changes, until the function that it returns is called. */
  onChange(listener: (service: string, serving: boolean) => void): () => void;
}

/** The health of the services given: all serving at first. */
export function createHealth(services: readonly ServiceDefinition[]): Health {
  const listeners = new Set<(service: string, serving: boolean) => void>();
  const statuses = new Map(services.map(({ desc }) => [desc.typeName, true]));
  statuses.set('', true);
  let draining = false;

  const change = (service: string, serving: boolean) => {
    if (statuses.get(service) === serving) return;
    statuses.set(service, serving);
    for (const listener of listeners) listener(service, serving);
  };
  return {
    set(service, serving) {
      if (service === '' || !statuses.has(service)) {
        throw new Error(`health of "${service}" cannot be set: it is none of the services served here`);
      }
      if (draining) return;
      change(service, serving);
      change(
        '',
        [...statuses].every(([name, ok]) => name === '' || ok),
      );
    },
    drain() {
      draining = true;
      for (const service of statuses.keys()) change(service, false);
    },
    isServing: (service) => statuses.get(service),
    statuses: () => statuses,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
