import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { create } from '@bufbuild/protobuf';
import type { Message, MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import type { Transport } from '@connectrpc/connect';
import { assert, asyncProperty, array, constantFrom, nat, record } from 'fast-check';
import { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import {
  EngineService,
  ReceiveResponseSchema,
  SubscribeResponseSchema,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { ReceiveRequest, SubscribeRequest } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import { receive } from './receive.ts';
import type { ReceiveOptions } from './receive.ts';

/** How a stream is cut: undefined ends it as if it were whole, 'hangs' leaves it open and silent. */
const failures = {
  ends: undefined,
  hangs: undefined,
  unavailable: new ConnectError('connection refused', Code.Unavailable),
  reset: new ConnectError('stream reset', Code.Internal),
  dropped: new ConnectError('canceled', Code.Canceled),
  cutAmidAnEvent: new ConnectError('incomplete envelope', Code.InvalidArgument),
  fetchFailed: new ConnectError('fetch failed', Code.Unknown),
  draining: new ConnectError('draining', Code.Unavailable, undefined, [
    { desc: ErrorInfoSchema, value: { domain: 'agentx', reason: 'DRAINING' } },
  ]),
};

/** A stream that is cut after so many events; `began` tells whether a Receive got as far as the turn. */
interface Cut {
  readonly after: number;
  readonly how: keyof typeof failures;
}

const PIECES = 8;
/** Cursors say nothing of their order, as the real ones. */
const cursorOf = (seq: number) => `c${(seq * 7919) % 1000}`;
const event = (init: MessageInitShape<typeof AgentEventSchema>) =>
  create(AgentEventSchema, { agentId: 'a1', turnId: 't1', ...init });
const log = Array.from({ length: PIECES + 1 }, (_, index) =>
  event({
    cursor: cursorOf(index + 1),
    payload:
      index < PIECES
        ? { case: 'textDelta', value: { text: `${index + 1} ` } }
        : { case: 'turnEnded', value: {} },
  }),
);
const accepted = event({ payload: { case: 'turnAccepted', value: {} } });
const heartbeat = event({ payload: { case: 'heartbeat', value: {} } });

/** A server with one turn, behind a way that cuts one stream for each entry of `cuts` and leaves the rest alone. */
function cuttingTransport(cuts: readonly Cut[]) {
  const requestIds: string[] = [];
  let streams = 0;

  function eventsFor(request: ReceiveRequest | SubscribeRequest) {
    if (request.$typeName === 'agentx.engine.v1.ReceiveRequest') {
      requestIds.push(request.requestId);
      return { schema: ReceiveResponseSchema, events: [accepted, ...log] };
    }
    const { turnId, afterCursor, follow } = request;
    const seen = afterCursor === '' ? 0 : log.findIndex(({ cursor }) => cursor === afterCursor) + 1;
    if (turnId !== 't1' || !follow || (afterCursor !== '' && seen === 0)) {
      throw new ConnectError('not what a client may ask', Code.FailedPrecondition);
    }
    return { schema: SubscribeResponseSchema, events: [heartbeat, ...log.slice(seen)] };
  }

  async function* play(request: ReceiveRequest | SubscribeRequest, signal: AbortSignal | undefined) {
    const cut = cuts[streams++];
    const { schema, events } = eventsFor(request);
    for (const event of events.slice(0, cut?.after))
      yield create<typeof ReceiveResponseSchema | typeof SubscribeResponseSchema>(schema, { event });
    if (cut === undefined) return;
    if (cut.how === 'hangs') {
      await new Promise((_, reject) =>
        signal?.addEventListener('abort', () => reject(new ConnectError('let go', Code.Canceled))),
      );
    }
    const failure = failures[cut.how];
    if (failure !== undefined) throw failure;
  }

  const transport: Transport = {
    unary: () => Promise.reject(new ConnectError('not scripted', Code.Unimplemented)),
    async stream(method, signal, _timeoutMs, _header, input) {
      for await (const init of input) {
        const request = create(method.input, init) as Message as ReceiveRequest | SubscribeRequest;
        const head = { stream: true, service: method.parent, method, header: new Headers() } as const;
        const response = { ...head, trailer: new Headers(), message: play(request, signal) };
        return response as object as never;
      }
      throw new ConnectError('no request', Code.InvalidArgument);
    },
  };
  return { engine: createClient(EngineService, transport), requestIds, streams: () => streams };
}

/** Receives through the cuts, as fast as time can be made to pass. */
async function receiveThrough(cuts: readonly Cut[], options: ReceiveOptions = { giveUpAfterMs: 1e9 }) {
  const { engine, requestIds, streams } = cuttingTransport(cuts);
  const events: AgentEvent[] = [];
  const progress = { settled: false };
  const reading = (async () => {
    const message = { agentId: 'a1', input: { case: 'text', value: 'hi' } } as const;
    for await (const event of receive(engine, message, options)) events.push(event);
  })().finally(() => (progress.settled = true));
  reading.catch(() => undefined);
  while (!progress.settled) await jest.advanceTimersByTimeAsync(1_000);
  await reading;
  return { events, requestIds, streams: streams() };
}

const loggedOf = (events: readonly AgentEvent[]) => events.filter(({ cursor }) => cursor !== '');

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] });
});
afterEach(() => {
  jest.useRealTimers();
});

describe('receive, through a way that is cut', () => {
  const places = Array.from({ length: log.length + 2 }, (_, after) => after);

  test.each(Object.keys(failures) as (keyof typeof failures)[])(
    'at every event (%s): all events, once, in order',
    async (how) => {
      for (const after of places) {
        const { events, requestIds } = await receiveThrough([{ after, how }]);
        expect(loggedOf(events)).toEqual(log);
        expect(events.filter(({ payload }) => payload.case === 'turnAccepted')).toHaveLength(1);
        // The message is sent again only while nothing was heard of it.
        expect(requestIds).toHaveLength(after === 0 ? 2 : 1);
      }
    },
  );

  test('over and over at any events: all events, once, in order, for one request', async () => {
    const how = constantFrom(...(Object.keys(failures) as (keyof typeof failures)[]));
    // Before the first event it gives up after 10 s, so the first streams come through.
    const cut = record({ after: nat(4), how });
    await assert(
      asyncProperty(record({ after: nat(10), how }), array(cut, { maxLength: 12 }), async (first, rest) => {
        const cuts = [{ ...first, after: first.after + 1 }, ...rest];
        const { events, requestIds, streams } = await receiveThrough(cuts);
        expect(loggedOf(events)).toEqual(log);
        expect(new Set(requestIds).size).toBe(1);
        expect(streams).toBeLessThanOrEqual(cuts.length + 1);
      }),
      { numRuns: 300 },
    );
  });

  test('many times before the first event: the same request each time', async () => {
    const cuts = Array.from({ length: 6 }, () => ({ after: 0, how: 'unavailable' }) as const);
    const { events, requestIds } = await receiveThrough(cuts);
    expect(loggedOf(events)).toEqual(log);
    expect(requestIds).toHaveLength(7);
    expect(new Set(requestIds).size).toBe(1);
  });

  test('does not lose patience while events come', async () => {
    const cuts = Array.from({ length: 4 }, () => ({ after: 2, how: 'hangs' }) as const);
    const { events } = await receiveThrough(cuts, { giveUpAfterMs: 5_000 });
    expect(loggedOf(events)).toEqual(log);
  });

  test('tells of the silence when it gives up after it', async () => {
    const cuts = Array.from({ length: 9 }, () => ({ after: 0, how: 'hangs' }) as const);
    await expect(receiveThrough(cuts)).rejects.toMatchObject({
      code: Code.DeadlineExceeded,
      rawMessage: 'the engine said nothing for 45000 ms',
    });
  });

  test.each(['hangs', 'unavailable'] as const)(
    'ends with CANCELED when its signal aborts (%s)',
    async (how) => {
      const stop = new AbortController();
      setTimeout(() => stop.abort('enough'), 30_000);
      const cuts = Array.from({ length: 99 }, () => ({ after: 1, how }) as const);
      await expect(receiveThrough(cuts, { signal: stop.signal })).rejects.toMatchObject({
        code: Code.Canceled,
        cause: 'enough',
      });
    },
  );
});
