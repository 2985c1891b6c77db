import { createClient } from '@connectrpc/connect';
import type { Client, Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { createGrpcTransport } from '@agentx/client';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { pino } from 'pino';
import { createHealth } from '../health/health.ts';
import { createServiceChain } from '../middleware.ts';
import type { ServiceChain, ServiceChainOptions } from '../middleware.ts';
import { defineService } from '../service.ts';
import type { Handlers, ServiceDefinition } from '../service.ts';
import { mountConnect } from './connect.ts';
import { createDirectTransport } from './direct.ts';
import { mountGrpc } from './grpc.ts';
import { createOnePortServer } from './one-port.ts';
import type { RpcServer } from './rpc-server.ts';

/** A service on one of the mounts, called by a typed client. */
export interface Rung extends AsyncDisposable {
  readonly client: Client<typeof EngineService>;
  readonly chain: ServiceChain;
  /** What was logged, parsed. */
  readonly logged: readonly Record<string, unknown>[];
}

export interface RungOptions extends Omit<ServiceChainOptions, 'log'> {
  readonly maxMessageBytes?: number;
}

interface Mounted {
  readonly transport: Transport;
  readonly close: () => Promise<void>;
}

type Mount = (service: ServiceDefinition, chain: ServiceChain, options: RungOptions) => Promise<Mounted>;

const log = (lines: Record<string, unknown>[]) =>
  pino(
    { level: 'debug' },
    { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );

const onePort =
  (connect: (url: string, target: string) => Transport & { close?: () => void }): Mount =>
  async (service, chain, { maxMessageBytes }) => {
    const handler = mountConnect([service], chain, {
      log: log([]),
      health: createHealth([service]),
      ...(maxMessageBytes !== undefined && { maxMessageBytes }),
    });
    const server = createOnePortServer({ handler });
    const { url, text } = await server.listen('127.0.0.1:0');
    return closing(connect(url, text), server);
  };

const mounts: Record<string, Mount> = {
  direct: (service, chain) =>
    Promise.resolve({
      transport: createDirectTransport([service], chain),
      close: () => Promise.resolve(),
    }),
  'grpc-js': async (service, chain, { maxMessageBytes }) => {
    const server = mountGrpc([service], chain, {
      health: createHealth([service]),
      ...(maxMessageBytes !== undefined && { maxMessageBytes }),
    });
    const { text } = await server.listen('127.0.0.1:0');
    return closing(createGrpcTransport({ target: text }), server);
  },
  'one port, gRPC': onePort((_url, target) => createGrpcTransport({ target })),
  'one port, Connect over HTTP/1.1': onePort((baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: '1.1' }),
  ),
};

function closing(transport: Transport & { close?: () => void }, server: RpcServer): Mounted {
  return {
    transport,
    close: () => {
      transport.close?.();
      return server.close(0);
    },
  };
}

/** All ways to mount a service, and those that go over the network. */
export const allRungs = Object.keys(mounts);
export const networkRungs = allRungs.filter((name) => name !== 'direct');

/** Mounts a service with the handlers given. */
export async function mountOn(
  rung: string,
  handlers: Handlers<typeof EngineService>,
  options: RungOptions = {},
): Promise<Rung> {
  const mount = mounts[rung];
  if (mount === undefined) throw new Error(`no rung ${rung}`);
  const logged: Record<string, unknown>[] = [];
  const chain = createServiceChain({ ...options, log: log(logged) });
  const { transport, close } = await mount(defineService(EngineService, handlers), chain, options);
  return { client: createClient(EngineService, transport), chain, logged, [Symbol.asyncDispose]: close };
}
