import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { create, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import type { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import {
  GetTurnResponseSchema,
  ReceiveResponseSchema,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createAgentxWebClient } from './agentx-web-client.ts';
import { receive } from './receive.ts';

const baseUrl = 'https://agentx.example';
const turn = { agentId: 'a1', turnId: 't1' };

afterEach(() => {
  jest.restoreAllMocks();
});

/** Answers each call of `fetch` with the next of the answers, and keeps the calls. */
function fakeFetch(...answers: ((signal: AbortSignal) => Response)[]) {
  const calls: { url: string; headers: Headers }[] = [];
  jest.spyOn(globalThis, 'fetch').mockImplementation(async (url, init) => {
    calls.push({ url: url as string, headers: new Headers(init?.headers) });
    return answers.shift()!(init!.signal!);
  });
  return calls;
}

const unary = () =>
  new Response(toBinary(GetTurnResponseSchema, create(GetTurnResponseSchema, { turn })), {
    headers: { 'content-type': 'application/proto' },
  });

function envelope(flags: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + data.length);
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, data.length);
  bytes.set(data, 5);
  return bytes;
}

const event = (init: MessageInitShape<typeof AgentEventSchema>) =>
  envelope(
    0,
    toBinary(ReceiveResponseSchema, create(ReceiveResponseSchema, { event: { ...turn, ...init } })),
  );
const end = envelope(2, new TextEncoder().encode('{}'));

const streaming = (...chunks: Uint8Array[]) =>
  new Response(
    new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
      },
    }),
    { headers: { 'content-type': 'application/connect+proto' } },
  );

describe('a web client', () => {
  test('sends its headers, and asks for the token before each call', async () => {
    const calls = fakeFetch(unary, unary);
    let asked = 0;
    const token = async () => `t${++asked}`;
    const { engine } = createAgentxWebClient({ baseUrl, header: { 'x-app': 'mine' }, token });
    expect((await engine.getTurn(turn)).turn).toMatchObject(turn);
    await engine.getTurn(turn, { headers: { 'x-app': 'other' } });
    expect(calls.map(({ url }) => url)).toEqual(
      Array(2).fill(`${baseUrl}/agentx.engine.v1.EngineService/GetTurn`),
    );
    expect(calls.map(({ headers }) => [headers.get('authorization'), headers.get('x-app')])).toEqual([
      ['Bearer t1', 'mine'],
      ['Bearer t2', 'other'],
    ]);
  });

  test('leaves an authorization header as it is', async () => {
    const calls = fakeFetch(unary);
    const header = { authorization: 'Basic abc' };
    await createAgentxWebClient({ baseUrl, header, token: 'unused' }).engine.getTurn(turn);
    expect(calls[0]?.headers.get('authorization')).toBe('Basic abc');
  });

  test('has a timeout for calls with one answer, and none for streams', async () => {
    const calls = fakeFetch(unary, () =>
      streaming(event({ payload: { case: 'turnEnded', value: {} } }), end),
    );
    const { engine } = createAgentxWebClient({ baseUrl, defaultTimeoutMs: 1_234 });
    await engine.getTurn(turn);
    for await (const _event of receive(engine, { agentId: 'a1' }));
    expect(calls.map(({ headers }) => headers.get('connect-timeout-ms'))).toEqual(['1234', null]);
  });

  test('goes on when the body was cut amid an event, and when fetch fails', async () => {
    const text = event({ cursor: '2', payload: { case: 'textDelta', value: { text: 'cut' } } });
    const calls = fakeFetch(
      () =>
        streaming(
          event({ payload: { case: 'turnAccepted', value: {} } }),
          event({ cursor: '1', payload: { case: 'thinking', value: {} } }),
          text.subarray(0, text.length - 3),
        ),
      () => {
        throw new TypeError('fetch failed');
      },
      () => streaming(text),
      () => streaming(event({ cursor: '3', payload: { case: 'turnEnded', value: {} } }), end),
    );
    const { engine } = createAgentxWebClient({ baseUrl });
    const seen: unknown[] = [];
    for await (const { payload } of receive(engine, { agentId: 'a1' })) seen.push(payload.case);
    expect(seen).toEqual(['turnAccepted', 'thinking', 'textDelta', 'turnEnded']);
    expect(calls.map(({ url }) => url.slice(url.lastIndexOf('/') + 1))).toEqual([
      'Receive',
      ...Array<string>(3).fill('Subscribe'),
    ]);
  });

  test('is refused with the code of the answer, without another try', async () => {
    const calls = fakeFetch(() => new Response('no', { status: 401 }));
    const { engine } = createAgentxWebClient({ baseUrl });
    const reading = receive(engine, { agentId: 'a1' }).next();
    await expect(reading).rejects.toMatchObject({ code: Code.Unauthenticated });
    expect(calls).toHaveLength(1);
  });
});
