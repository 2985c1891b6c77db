import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@agentx/client';
import { Health, HealthCheckResponse_ServingStatus as Status } from '@agentx/gen/grpc/health/v1/health_pb.ts';

const TIMEOUT_MS = 5000;

/** Asks a process by gRPC whether it serves, as `grpc.health.v1` tells it: the server as a whole. */
export async function isServing(url: string): Promise<boolean> {
  const transport = createGrpcTransport({ target: `ipv4:${new URL(url).host}` });
  try {
    const { status } = await createClient(Health, transport).check({}, { timeoutMs: TIMEOUT_MS });
    return status === Status.SERVING;
  } finally {
    transport.close();
  }
}

/** What `/readyz` of a process says. @param url of its API; it is served on the port + 1000 */
export async function readiness(url: string): Promise<{ status: number; text: string }> {
  const ops = new URL('/readyz', url);
  ops.port = String(Number(ops.port) + 1000);
  const response = await fetch(ops, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  return { status: response.status, text: await response.text() };
}
