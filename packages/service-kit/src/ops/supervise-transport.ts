import type { DescService } from '@bufbuild/protobuf';
import { Code, createClient } from '@connectrpc/connect';
import type { Transport } from '@connectrpc/connect';
import { Health, HealthCheckResponse_ServingStatus as Status } from '@agentx/gen/grpc/health/v1/health_pb.ts';
import { codeOf } from '../errors.ts';
import { observeTransport } from '../telemetry/observe-transport.ts';
import { createLastOutcome } from './last-outcome.ts';
import type { LastOutcomeOptions } from './last-outcome.ts';
import type { Dependency } from './readiness.ts';

/** A service in another process, and how its last use went. */
export interface SupervisedTransport extends Dependency {
  readonly transport: Transport;
  /** Stops asking. The transport is the caller's to close. */
  close(): void;
}

const PROBE_TIMEOUT_MS = 5_000;

/**
 * Notes how calls of a service go: one that finds nobody, or gets no answer in time, failed; any other answer shows that it
 * works. After a failure the service's own health is asked until it says that it serves.
 */
export function superviseTransport(
  inner: Transport,
  service: DescService,
  pauses: Omit<LastOutcomeOptions, 'probe'> = {},
): SupervisedTransport {
  const health = createClient(Health, inner);
  const outcome = createLastOutcome({ ...pauses, probe });

  async function probe(): Promise<void> {
    try {
      const { status } = await health.check({ service: service.typeName }, { timeoutMs: PROBE_TIMEOUT_MS });
      if (status === Status.SERVING) outcome.succeeded();
      else outcome.failed('it says that it is not serving');
    } catch (error) {
      outcome.failed(textOf(error));
    }
  }

  const transport = observeTransport(inner, {
    begin: () => ({
      answered: outcome.succeeded,
      ended: (error, left) => {
        if (error === undefined ? left : codeOf(error) === Code.Canceled) return;
        if (isFailure(error)) outcome.failed(textOf(error));
        else outcome.succeeded();
      },
    }),
  });
  return {
    transport,
    last: () => outcome.last,
    onChange: outcome.onChange,
    close: outcome.close,
  };
}

function isFailure(error: unknown): boolean {
  const code = codeOf(error);
  return code === Code.Unavailable || code === Code.DeadlineExceeded;
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
