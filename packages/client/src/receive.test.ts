import { describe, expect, test } from '@jest/globals';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient, createRouterTransport } from '@connectrpc/connect';
import type { HandlerContext } from '@connectrpc/connect';
import type { AgentEvent, AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { ReceiveRequest, SubscribeRequest } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import { receive } from './receive.ts';
import type { ReceiveOptions } from './receive.ts';

type Event = MessageInitShape<typeof AgentEventSchema>;
type Attempt = (signal: AbortSignal) => AsyncIterable<Event>;

const accepted: Event = { agentId: 'a1', turnId: 't1', payload: { case: 'turnAccepted', value: {} } };
const heartbeat: Event = { agentId: 'a1', turnId: 't1', payload: { case: 'heartbeat', value: {} } };
const text = (cursor: string): Event => ({
  agentId: 'a1',
  turnId: 't1',
  cursor,
  payload: { case: 'textDelta', value: { text: cursor } },
});
const ended: Event = {
  agentId: 'a1',
  turnId: 't1',
  cursor: 'end',
  payload: { case: 'turnEnded', value: {} },
};

const unavailable = () => new ConnectError('connection reset', Code.Unavailable);
const ofServer = (code: Code, reason: string) =>
  new ConnectError('said the server', code, undefined, [
    { desc: ErrorInfoSchema, value: { domain: 'agentx', reason } },
  ]);

/** Yields events, then fails, or ends. */
const plays = (events: readonly Event[], failure?: ConnectError): Attempt =>
  async function* () {
    yield* events;
    if (failure !== undefined) throw failure;
  };

/** An engine that plays one attempt for each call, and keeps the calls. */
function scripted(attempts: Attempt[]) {
  const calls: (ReceiveRequest | SubscribeRequest)[] = [];
  async function* play(request: ReceiveRequest | SubscribeRequest, { signal }: HandlerContext) {
    calls.push(request);
    const attempt = attempts.shift();
    if (attempt === undefined) throw new ConnectError('more calls than expected', Code.FailedPrecondition);
    for await (const event of attempt(signal)) yield { event };
  }
  const transport = createRouterTransport(({ service }) => {
    service(EngineService, { receive: play, subscribe: play });
  });
  return { engine: createClient(EngineService, transport), calls };
}

async function run(attempts: Attempt[], options?: ReceiveOptions, requestId?: string) {
  const { engine, calls } = scripted(attempts);
  const request = {
    agentId: 'a1',
    input: { case: 'text' as const, value: 'hi' },
    ...(requestId !== undefined && { requestId }),
  };
  const events: AgentEvent[] = [];
  let error: unknown;
  try {
    for await (const event of receive(engine, request, options)) events.push(event);
  } catch (reason) {
    error = reason;
  }
  const seen = events.map(({ payload, cursor }) => (payload.case === 'textDelta' ? cursor : payload.case));
  return { seen, calls, error: error as ConnectError | undefined };
}

describe('receive', () => {
  test('yields the events of a turn and ends with it', async () => {
    const { seen, calls, error } = await run([plays([accepted, text('1'), ended])]);
    expect(error).toBeUndefined();
    expect(seen).toEqual(['turnAccepted', '1', 'turnEnded']);
    expect(calls).toHaveLength(1);
  });

  test.each([
    ['breaks', unavailable()],
    ['breaks without a word', new ConnectError('stream reset', Code.Internal)],
    ['is dropped because its reader is slow', new ConnectError('canceled', Code.Canceled)],
    ['is cut amid an event', new ConnectError('incomplete envelope', Code.InvalidArgument)],
    ['is refused by a draining engine', ofServer(Code.Unavailable, 'SHUTTING_DOWN')],
    ['ends early', undefined],
  ])('goes on after the last cursor when the stream %s', async (_how, failure) => {
    const { seen, calls, error } = await run([
      plays([accepted, text('1'), text('2'), heartbeat], failure),
      plays([text('3')], failure),
      plays([ended]),
    ]);
    expect(error).toBeUndefined();
    expect(seen).toEqual(['turnAccepted', '1', '2', 'heartbeat', '3', 'turnEnded']);
    expect(calls.slice(1)).toMatchObject([
      { agentId: 'a1', turnId: 't1', afterCursor: '2', follow: true },
      { agentId: 'a1', turnId: 't1', afterCursor: '3', follow: true },
    ]);
  });

  test('follows from the start of the turn when it saw nothing but that it was accepted', async () => {
    const { seen, calls } = await run([plays([accepted], unavailable()), plays([text('1'), ended])]);
    expect(seen).toEqual(['turnAccepted', '1', 'turnEnded']);
    expect(calls[1]).toMatchObject({ turnId: 't1', afterCursor: '' });
  });

  test('sends the same request id again while the turn is not known', async () => {
    const { seen, calls } = await run([
      plays([], unavailable()),
      plays([], unavailable()),
      plays([accepted, ended]),
    ]);
    expect(seen).toEqual(['turnAccepted', 'turnEnded']);
    const ids = calls.map((call) => (call as ReceiveRequest).requestId);
    expect(ids[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(new Set(ids).size).toBe(1);
  });

  test('keeps the request id of its caller', async () => {
    const { calls } = await run([plays([accepted, ended])], {}, 'mine');
    expect(calls[0]).toMatchObject({ requestId: 'mine' });
  });

  test.each([
    ['a busy agent', ofServer(Code.Aborted, 'TURN_IN_PROGRESS')],
    ['a turn that is gone', ofServer(Code.NotFound, 'TURN_NOT_FOUND')],
    ['a request that breaks the rules', ofServer(Code.InvalidArgument, 'INVALID_REQUEST')],
    ['an expired cursor', ofServer(Code.OutOfRange, 'CURSOR_EXPIRED')],
    ['a fault of the server', ofServer(Code.Internal, 'INTERNAL')],
    ['a caller without rights', new ConnectError('no', Code.PermissionDenied)],
  ])('does not try again after %s', async (_what, failure) => {
    const { error, calls } = await run([plays([accepted, text('1')], failure)]);
    expect(error?.code).toBe(failure.code);
    expect(calls).toHaveLength(1);
  });

  test('gives up when no engine can be reached for long, with the last error', async () => {
    const attempts = Array.from({ length: 50 }, () => plays([], unavailable()));
    const { error, calls } = await run([plays([accepted]), ...attempts], { giveUpAfterMs: 300 });
    expect(error?.rawMessage).toBe('connection reset');
    // It tried a few times, with pauses.
    expect(calls.length).toBeGreaterThan(2);
    expect(calls.length).toBeLessThan(10);
  });

  test('leaves a stream that is silent for another', async () => {
    const left = Promise.withResolvers<undefined>();
    const silent: Attempt = async function* (signal) {
      yield* [accepted, text('1')];
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      left.resolve(undefined);
    };
    const { seen } = await run([silent, plays([ended])], { silenceMs: 30 });
    expect(seen).toEqual(['turnAccepted', '1', 'turnEnded']);
    await left.promise;
  });

  test('tries again for a reader that took longer with an event than it would try', async () => {
    const { engine } = scripted([plays([accepted, text('1')], unavailable()), plays([ended])]);
    const seen: unknown[] = [];
    for await (const { payload } of receive(engine, { agentId: 'a1' }, { giveUpAfterMs: 100 })) {
      seen.push(payload.case);
      if (payload.case === 'textDelta') await new Promise((resolve) => setTimeout(resolve, 150));
    }
    expect(seen).toEqual(['turnAccepted', 'textDelta', 'turnEnded']);
  });

  test('lets go of the stream when its reader stops', async () => {
    const left = Promise.withResolvers<undefined>();
    const { engine } = scripted([
      async function* (signal) {
        signal.addEventListener('abort', () => left.resolve(undefined));
        yield accepted;
      },
    ]);
    for await (const _event of receive(engine, { agentId: 'a1' })) break;
    await left.promise;
  });

  test('ends with CANCELED when its signal aborts, also while it waits to try again', async () => {
    const stop = new AbortController();
    const { engine } = scripted([plays([accepted], unavailable())]);
    const events = receive(engine, { agentId: 'a1' }, { signal: stop.signal });
    await events.next();
    const next = events.next();
    setTimeout(() => stop.abort(), 10);
    await expect(next).rejects.toMatchObject({ code: Code.Canceled });
  });
});
