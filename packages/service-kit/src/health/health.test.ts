import { describe, expect, test } from '@jest/globals';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@agentx/client';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import {
  Health as HealthDesc,
  HealthCheckResponse_ServingStatus as Status,
} from '@agentx/gen/grpc/health/v1/health_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { pino } from 'pino';
import { DomainError } from '../errors.ts';
import { createServiceChain } from '../middleware.ts';
import { mountConnect } from '../mounts/connect.ts';
import { mountGrpc } from '../mounts/grpc.ts';
import { createOnePortServer } from '../mounts/one-port.ts';
import type { RpcServer } from '../mounts/rpc-server.ts';
import { defineService } from '../service.ts';
import { createHealth } from './health.ts';
import type { Health } from './health.ts';

const log = pino({ level: 'silent' });
const engine = EngineService.typeName;
const state = StateStoreService.typeName;
const services = [defineService(EngineService, {}), defineService(StateStoreService, {})];

const chain = () =>
  createServiceChain({
    log,
    identify: () => {
      throw new DomainError(Code.Unauthenticated, 'NO_TOKEN', 'send a token');
    },
  });

const servers: Record<string, (health: Health) => RpcServer> = {
  'grpc-js': (health) => mountGrpc(services, chain(), { health }),
  'one port': (health) => createOnePortServer({ handler: mountConnect(services, chain(), { log, health }) }),
};

async function withServer(
  name: string,
  use: (client: Client<typeof HealthDesc>, health: Health) => Promise<void>,
): Promise<void> {
  const health = createHealth(services);
  const server = servers[name]!(health);
  const transport = createGrpcTransport({ target: (await server.listen('127.0.0.1:0')).text });
  try {
    await use(createClient(HealthDesc, transport), health);
  } finally {
    transport.close();
    await server.close(0);
  }
}

describe.each(Object.keys(servers))('health on %s', (name) => {
  test('is told by service and for the whole server, to callers who do not say who they are', () =>
    withServer(name, async (client, health) => {
      const status = async (service: string) => (await client.check({ service })).status;
      expect(await Promise.all(['', engine, state].map(status))).toEqual([
        Status.SERVING,
        Status.SERVING,
        Status.SERVING,
      ]);
      health.set(state, false);
      expect(await Promise.all(['', engine, state].map(status))).toEqual([
        Status.NOT_SERVING,
        Status.SERVING,
        Status.NOT_SERVING,
      ]);
      health.set(state, true);
      expect(await status('')).toBe(Status.SERVING);
      const error: unknown = await status('no.such.Service').catch((reason: unknown) => reason);
      expect(error instanceof ConnectError && error.code).toBe(Code.NotFound);
    }));

  test('lists all services', () =>
    withServer(name, async (client, health) => {
      health.set(engine, false);
      const { statuses } = await client.list({});
      expect(
        Object.fromEntries(Object.entries(statuses).map(([service, { status }]) => [service, status])),
      ).toEqual({
        '': Status.NOT_SERVING,
        [engine]: Status.NOT_SERVING,
        [state]: Status.SERVING,
      });
    }));

  test('tells whoever watches of every change, and nothing else', () =>
    withServer(name, async (client, health) => {
      const leave = new AbortController();
      const watched = client.watch({ service: engine }, { signal: leave.signal })[Symbol.asyncIterator]();
      const next = async () => {
        const result = await watched.next();
        return result.done === true ? undefined : result.value.status;
      };
      expect(await next()).toBe(Status.SERVING);
      health.set(state, false);
      health.set(engine, false);
      expect(await next()).toBe(Status.NOT_SERVING);
      health.set(engine, true);
      expect(await next()).toBe(Status.SERVING);
      health.drain();
      expect(await next()).toBe(Status.NOT_SERVING);
      leave.abort();
      await expect(next()).rejects.toThrow('canceled');
    }));
});

describe('health', () => {
  test('a draining server serves nothing any more, whatever its services say', () => {
    const health = createHealth(services);
    health.drain();
    health.set(engine, true);
    expect([...health.statuses().values()]).toEqual([false, false, false]);
  });

  test('only services that are served can be set', () => {
    const health = createHealth(services);
    expect(() => health.set('no.such.Service', true)).toThrow('no.such.Service');
    expect(() => health.set('', true)).toThrow('none of the services');
  });
});
