import { requirePart } from '@agentx/testing';
import { fromJson } from '@bufbuild/protobuf';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import {
  EngineService,
  ListMessagesResponseSchema,
  ReceiveResponseSchema,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { describeByReflection } from '../harness/client-program.ts';
import type { ClientProgram } from '../harness/client-program.ts';
import { run } from '../harness/run.ts';
import { eventsOf, newAgent, textOf } from './agents.ts';

/** Runs grpcurl; the server's reflection is its only source of types. */
async function grpcurl(target: string, words: string[], request?: JsonObject) {
  const { path } = await requirePart('grpcurl');
  const data = request === undefined ? [] : ['-d', JSON.stringify(request)];
  const { code, stdout, stderr } = await run(path, ['-plaintext', ...data, target, ...words]);
  return { code, stderr, text: stdout.toString() };
}

/** grpcurl prints one answer after the other, each over several lines. */
function answersIn(text: string): JsonValue[] {
  return text
    .split(/\n(?=\{)/)
    .filter((part) => part.trim() !== '')
    .map((part) => JSON.parse(part) as JsonValue);
}

export interface Reflected {
  service: string;
  /** One of its methods. */
  method: string;
  /** A field of the method's request, as grpcurl describes it. */
  field: string;
  /** A request that the method refuses. */
  badRequest: JsonObject;
}

/** Lists, describes and calls by reflection. */
export function reflectionSuite(
  { service, method, field, badRequest }: Reflected,
  target: () => string,
  python: () => ClientProgram,
): void {
  const name = `${service}/${method}`;

  test(`grpcurl lists and describes ${service}, and health`, async () => {
    const { text: services } = await grpcurl(target(), ['list']);
    expect(services.trim().split('\n')).toEqual([
      service,
      'grpc.health.v1.Health',
      'grpc.reflection.v1.ServerReflection',
      'grpc.reflection.v1alpha.ServerReflection',
    ]);
    const { text: methods } = await grpcurl(target(), ['list', service]);
    expect(methods.split('\n')).toContain(`${service}.${method}`);
    const { text: described } = await grpcurl(target(), ['describe', `${service}.${method}`]);
    const inputName = /rpc \w+ \( \.([\w.]+) \)/.exec(described)?.[1] ?? '';
    expect((await grpcurl(target(), ['describe', inputName])).text).toContain(field);
  });

  test(`grpcurl asks for the health of ${service}`, async () => {
    const health = 'grpc.health.v1.Health/Check';
    const { text } = await grpcurl(target(), [health], { service });
    expect(answersIn(text)).toEqual([{ status: 'SERVING' }]);
    const unknown = await grpcurl(target(), [health], { service: 'no.such.Service' });
    expect(unknown.stderr).toContain('Code: NotFound');
  });

  test(`grpcurl calls ${name}, and shows the details of an error`, async () => {
    const { code, stderr } = await grpcurl(target(), [name], badRequest);
    expect(code).not.toBe(0);
    expect(stderr).toContain('Code: InvalidArgument');
    expect(stderr).toContain('"domain": "agentx"');
    const unknown = await grpcurl(target(), [name], { no_such_field: 1 });
    expect(unknown.stderr).toContain('no known field named no_such_field');
  });

  test(`${service} is described in reflection v1alpha too, to grpcio's client`, async () => {
    expect((await describeByReflection(python(), target()))[service]).toContain(method);
  });
}

/** What grpcurl does with an engine beyond reflection. */
export function grpcurlSuite(target: () => string): void {
  test('grpcurl talks to an agent and reads its history', async () => {
    const agent_id = newAgent();
    const methodOf = (method: string) => `${EngineService.typeName}/${method}`;
    const received = await grpcurl(target(), [methodOf('Receive')], { agent_id, text: 'hello' });
    const events = eventsOf(answersIn(received.text).map((json) => fromJson(ReceiveResponseSchema, json)));
    expect(events[0]?.payload.case).toBe('turnAccepted');
    expect(textOf(events)).toContain('You said: hello');
    expect(events.at(-1)?.payload.case).toBe('turnEnded');
    const listed = await grpcurl(target(), [methodOf('ListMessages')], { agent_id });
    const { messages } = fromJson(ListMessagesResponseSchema, answersIn(listed.text)[0] ?? null);
    expect(messages.map(({ position }) => position)).toEqual([1, 2]);
  });
}
