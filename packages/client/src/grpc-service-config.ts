import { MethodOptions_IdempotencyLevel as IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import type { DescService } from '@bufbuild/protobuf';

/** What grpc-js is told about the services behind a target: calls go round, and which may be repeated. */
export function grpcServiceConfig(services: readonly DescService[]): string {
  const name = services.flatMap(({ typeName: service, methods }) =>
    methods
      .filter(({ idempotency }) => idempotency !== IdempotencyLevel.IDEMPOTENCY_UNKNOWN)
      .map(({ name: method }) => ({ service, method })),
  );
  const retryPolicy = {
    maxAttempts: 4,
    initialBackoff: '0.1s',
    maxBackoff: '2s',
    backoffMultiplier: 2,
    retryableStatusCodes: ['UNAVAILABLE'],
  };
  return JSON.stringify({
    loadBalancingConfig: [{ round_robin: {} }],
    methodConfig: name.length === 0 ? [] : [{ name, retryPolicy }],
  });
}
