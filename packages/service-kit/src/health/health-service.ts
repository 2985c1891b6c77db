import { Code } from '@connectrpc/connect';
import {
  Health as HealthDesc,
  HealthCheckResponse_ServingStatus as Status,
} from '@agentx/gen/grpc/health/v1/health_pb.ts';
import type { CallContext } from '../context.ts';
import { DomainError } from '../errors.ts';
import { defineService } from '../service.ts';
import type { ServiceDefinition } from '../service.ts';
import type { Health } from './health.ts';

/** `grpc.health.v1.Health` for mounts that have no implementation of their own. */
export function defineHealthService(health: Health): ServiceDefinition {
  return defineService(HealthDesc, {
    check({ service }) {
      const serving = health.isServing(service);
      if (serving === undefined) {
        throw new DomainError(Code.NotFound, 'SERVICE_UNKNOWN', `no service "${service}" is served here`);
      }
      return Promise.resolve({ status: toStatus(serving) });
    },
    list() {
      const statuses = [...health.statuses()].map(([name, serving]) => [name, { status: toStatus(serving) }]);
      return Promise.resolve({
        statuses: Object.fromEntries(statuses) as Record<string, { status: Status }>,
      });
    },
    watch: ({ service }, context) => watch(health, service, context),
  });
}

async function* watch(
  health: Health,
  service: string,
  { signal }: CallContext,
): AsyncGenerator<{ status: Status }> {
  let wake: () => void = () => undefined;
  const forget = health.onChange(() => wake());
  const onAbort = () => wake();
  signal.addEventListener('abort', onAbort);
  try {
    let told: Status | undefined;
    while (!signal.aborted) {
      const changed = new Promise<void>((resolve) => (wake = resolve));
      const serving = health.isServing(service);
      const status = serving === undefined ? Status.SERVICE_UNKNOWN : toStatus(serving);
      if (status === told) await changed;
      else yield { status: (told = status) };
    }
  } finally {
    forget();
    signal.removeEventListener('abort', onAbort);
  }
}

function toStatus(serving: boolean): Status {
  return serving ? Status.SERVING : Status.NOT_SERVING;
}
