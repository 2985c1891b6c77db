import { describe, expect, test } from '@jest/globals';
import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { ServerReflection as V1 } from '@agentx/gen/grpc/reflection/v1/reflection_pb.ts';
import type { ServerReflectionRequest } from '@agentx/gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as V1Alpha } from '@agentx/gen/grpc/reflection/v1alpha/reflection_pb.ts';
import { pino } from 'pino';
import { createHealth } from '../health/health.ts';
import { createServiceChain } from '../middleware.ts';
import { mountConnect } from '../mounts/connect.ts';
import { mountGrpc } from '../mounts/grpc.ts';
import { createOnePortServer } from '../mounts/one-port.ts';
import type { RpcServer } from '../mounts/rpc-server.ts';
import { defineService } from '../service.ts';

const log = pino({ level: 'silent' });
const services = [defineService(EngineService, {})];
const health = createHealth(services);
const chain = createServiceChain({ log });

const servers: Record<string, () => RpcServer> = {
  'grpc-js': () => mountGrpc(services, chain, { health }),
  'one port': () => createOnePortServer({ handler: mountConnect(services, chain, { log, health }) }),
};

type Question = ServerReflectionRequest['messageRequest'];

/** Asks all questions on one stream, as clients do, and answers what was answered to each. */
async function ask(server: string, version: typeof V1 | typeof V1Alpha, questions: Question[]) {
  const running = servers[server]!();
  const { url } = await running.listen('127.0.0.1:0');
  const client = createClient(version as typeof V1, createGrpcTransport({ baseUrl: url }));
  async function* requests() {
    for (const messageRequest of questions) yield { messageRequest };
  }
  const answers = [];
  try {
    for await (const { messageResponse } of client.serverReflectionInfo(requests()))
      answers.push(messageResponse);
  } finally {
    await running.close(0);
  }
  return answers;
}

/** The file that declares a symbol, with all that it imports; what did not come along is asked for by name. */
async function fileOf(server: string, version: typeof V1 | typeof V1Alpha, symbol: string) {
  const files = new Map<string, FileDescriptorProto>();
  const fetch = async (question: Question): Promise<FileDescriptorProto> => {
    const [answer] = await ask(server, version, [question]);
    if (answer?.case !== 'fileDescriptorResponse') throw new Error(`answered ${answer?.case ?? 'nothing'}`);
    const found = answer.value.fileDescriptorProto.map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    for (const file of found) files.set(file.name, file);
    return found[0]!;
  };
  const file = await fetch({ case: 'fileContainingSymbol', value: symbol });
  for (;;) {
    const missing = [...files.values()]
      .flatMap(({ dependency }) => dependency)
      .find((name) => !files.has(name));
    if (missing === undefined) break;
    await fetch({ case: 'fileByFilename', value: missing });
  }
  const importsFirst = (each: FileDescriptorProto): FileDescriptorProto[] => [
    ...each.dependency.flatMap((name) => importsFirst(files.get(name)!)),
    each,
  ];
  return createFileRegistry(create(FileDescriptorSetSchema, { file: [...new Set(importsFirst(file))] }));
}

describe.each([
  ['grpc-js', V1],
  ['grpc-js', V1Alpha],
  ['one port', V1],
  ['one port', V1Alpha],
])('reflection on %s: %s', (server, version) => {
  test('names the services', async () => {
    const [answer] = await ask(server, version, [{ case: 'listServices', value: '*' }]);
    const names = answer?.case === 'listServicesResponse' ? answer.value.service.map(({ name }) => name) : [];
    expect(names.sort()).toEqual([
      'agentx.engine.v1.EngineService',
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]);
  });

  test('gives the files that a symbol needs, so that a client can call with nothing else', async () => {
    const service = 'agentx.engine.v1.EngineService';
    for (const symbol of [service, `${service}.Receive`]) {
      const registry = await fileOf(server, version, symbol);
      const receive = registry.getService(service)?.method['receive'];
      expect(receive?.output.fields.map(({ name }) => name)).toEqual(['event']);
      expect(registry.getMessage('agentx.common.v1.AgentEvent')?.field['textDelta']?.number).toBe(11);
    }
    const details = await fileOf(server, version, 'google.rpc.ErrorInfo');
    expect(details.getMessage('google.rpc.ErrorInfo')?.fields.map(({ name }) => name)).toContain('reason');
  });

  test('says what it does not know, and goes on answering', async () => {
    const [symbol, file, known] = await ask(server, version, [
      { case: 'fileContainingSymbol', value: 'no.such.Thing' },
      { case: 'fileByFilename', value: 'no/such/file.proto' },
      { case: 'fileContainingSymbol', value: 'grpc.health.v1.Health' },
    ]);
    for (const answer of [symbol, file]) {
      expect(answer).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
    }
    expect(known?.case).toBe('fileDescriptorResponse');
  });
});

describe('files and extensions', () => {
  test('are found on one port by name and by number', async () => {
    const extendee = 'google.protobuf.FieldOptions';
    const [file, extension, numbers] = await ask('one port', V1, [
      { case: 'fileByFilename', value: 'agentx/common/v1/event.proto' },
      {
        case: 'fileContainingExtension',
        value: {
          $typeName: 'grpc.reflection.v1.ExtensionRequest',
          containingType: extendee,
          extensionNumber: 1159,
        },
      },
      { case: 'allExtensionNumbersOfType', value: extendee },
    ]);
    for (const answer of [file, extension]) expect(answer?.case).toBe('fileDescriptorResponse');
    expect(numbers).toMatchObject({
      value: { baseTypeName: extendee, extensionNumber: expect.arrayContaining([1159]) },
    });
  });
});
