import { randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { Code, ConnectError } from '@connectrpc/connect';
import { BadRequestSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import type { CallContext } from '../context.ts';
import { codeOf, DomainError, metadataOf, reasonOf } from '../errors.ts';
import { TENANT_HEADER } from '../identity.ts';
import { allRungs, mountOn, networkRungs } from './rungs.testing.ts';

const agentId = 'agent-1';
const turnRequest = { agentId, turnId: 'turn-1' };

async function failure(call: Promise<unknown>): Promise<ConnectError> {
  const error: unknown = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw new Error(`expected a ConnectError, got ${String(error)}`);
  return error;
}

async function collect<T>(messages: AsyncIterable<T>, into: T[] = []): Promise<T[]> {
  for await (const message of messages) into.push(message);
  return into;
}

const textOf = (response: { event?: { turnId: string } | undefined }) => response.event?.turnId;

describe.each(allRungs)('a service on %s', (rung) => {
  test('answers a unary call with the request, the tenant and the headers of its caller', async () => {
    const seen: unknown[] = [];
    await using service = await mountOn(rung, {
      getTurn({ turnId }, { identity, header }) {
        seen.push(identity, header.get('x-other'));
        return Promise.resolve({ turn: { agentId, turnId } });
      },
    });
    const headers = { [TENANT_HEADER]: 'acme', 'x-other': 'thing' };
    const { turn } = await service.client.getTurn(turnRequest, { headers });
    expect(turn).toMatchObject({ agentId, turnId: 'turn-1' });
    expect(seen).toEqual([{ tenantId: 'acme', subject: 'anonymous' }, 'thing']);
  });

  test('a caller that names no tenant acts for the default one', async () => {
    await using service = await mountOn(rung, {
      getTurn: (_request, { identity }) => Promise.resolve({ turn: { agentId: identity.tenantId } }),
    });
    expect((await service.client.getTurn(turnRequest)).turn?.agentId).toBe('default');
  });

  test('streams messages in order and ends', async () => {
    await using service = await mountOn(rung, {
      async *subscribe() {
        for (let i = 0; i < 100; i++) yield { event: { turnId: String(i) } };
      },
    });
    const responses = await collect(service.client.subscribe({ agentId }));
    expect(responses.map(textOf)).toEqual(Array.from({ length: 100 }, (_, i) => String(i)));
    expect(service.chain.activeCalls).toBe(0);
  });

  test('tells code, reason, text and facts of a domain error, and not its cause', async () => {
    const thrown = new DomainError(Code.Aborted, 'TURN_IN_PROGRESS', 'the agent is busy with "ä"', {
      metadata: { turn_id: 'turn-7' },
      cause: new Error('row 17 of table secret'),
    });
    await using service = await mountOn(rung, {
      getTurn: () => Promise.reject(thrown),
      // eslint-disable-next-line require-yield
      async *subscribe() {
        throw thrown;
      },
    });
    for (const call of [
      service.client.getTurn(turnRequest),
      collect(service.client.subscribe({ agentId })),
    ]) {
      const error = await failure(call);
      expect(error.rawMessage).toBe('the agent is busy with "ä"');
      expect([codeOf(error), reasonOf(error)]).toEqual([Code.Aborted, 'TURN_IN_PROGRESS']);
      expect(metadataOf(error)).toEqual({ turn_id: 'turn-7' });
      expect(error.cause).toBeUndefined();
    }
    expect(JSON.stringify(service.logged)).toContain('row 17 of table secret');
  });

  test('an error after some messages comes after them', async () => {
    await using service = await mountOn(rung, {
      async *subscribe() {
        yield { event: { turnId: 'a' } };
        yield { event: { turnId: 'b' } };
        throw new DomainError(Code.OutOfRange, 'CURSOR_EXPIRED', 'too old');
      },
    });
    const seen: Parameters<typeof textOf>[0][] = [];
    const error = await failure(collect(service.client.subscribe({ agentId }), seen));
    expect(seen.map(textOf)).toEqual(['a', 'b']);
    expect(reasonOf(error)).toBe('CURSOR_EXPIRED');
  });

  test('what went wrong inside is logged and not told', async () => {
    await using service = await mountOn(rung, {
      getTurn: () => Promise.reject(new TypeError('password=hunter2')),
    });
    const error = await failure(service.client.getTurn(turnRequest));
    expect([error.code, error.rawMessage, reasonOf(error)]).toEqual([
      Code.Internal,
      'internal error',
      'INTERNAL',
    ]);
    const [line] = service.logged.filter(({ level }) => level === 50);
    expect(line).toMatchObject({
      method: 'agentx.engine.v1.EngineService/GetTurn',
      turnId: 'turn-1',
      err: { message: 'password=hunter2' },
    });
  });

  test('a wrong request is refused before the handler sees it, with every field at fault', async () => {
    await using service = await mountOn(rung, {
      getTurn: () => Promise.reject(new Error('reached')),
    });
    const error = await failure(service.client.getTurn({ agentId: '../x', turnId: '' }));
    expect([error.code, reasonOf(error)]).toEqual([Code.InvalidArgument, 'INVALID_REQUEST']);
    expect(error.rawMessage).toMatch(/^agent_id: .*; turn_id: /);
    const [details] = error.findDetails(BadRequestSchema);
    expect(details?.fieldViolations.map(({ field }) => field)).toEqual(['agent_id', 'turn_id']);
  });

  test('a method without a handler is not implemented', async () => {
    await using service = await mountOn(rung, {});
    for (const call of [
      service.client.getTurn(turnRequest),
      collect(service.client.subscribe({ agentId })),
    ]) {
      const error = await failure(call);
      expect([error.code, reasonOf(error)]).toEqual([Code.Unimplemented, 'NOT_IMPLEMENTED']);
    }
  });

  test('a caller that is not let in gets nothing', async () => {
    const identify = async () => {
      throw new DomainError(Code.Unauthenticated, 'NO_TOKEN', 'send a token');
    };
    await using service = await mountOn(
      rung,
      { getTurn: () => Promise.reject(new Error('reached')) },
      { identify },
    );
    expect(reasonOf(await failure(service.client.getTurn(turnRequest)))).toBe('NO_TOKEN');
    expect(reasonOf(await failure(collect(service.client.subscribe({ agentId }))))).toBe('NO_TOKEN');
  });

  test('the deadline ends a call whose handler does not heed it, and reaches the handler', async () => {
    const contexts: CallContext[] = [];
    await using service = await mountOn(rung, {
      getTurn(_request, context) {
        contexts.push(context);
        return new Promise(() => undefined);
      },
      async *subscribe(_request, context) {
        contexts.push(context);
        yield { event: { turnId: String(context.timeoutMs !== undefined && context.timeoutMs <= 100) } };
        await new Promise(() => undefined);
      },
    });
    const options = { timeoutMs: 100 };
    expect((await failure(service.client.getTurn(turnRequest, options))).code).toBe(Code.DeadlineExceeded);
    const seen: Parameters<typeof textOf>[0][] = [];
    const streamed = await failure(collect(service.client.subscribe({ agentId }, options), seen));
    expect(streamed.code).toBe(Code.DeadlineExceeded);
    expect(seen.map(textOf)).toEqual(['true']);
    for (const { signal } of contexts) {
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      // Over the network the caller's own clock may be first, and its leaving is what the server sees.
      expect([Code.DeadlineExceeded, Code.Canceled]).toContain(codeOf(signal.reason));
    }
  });

  test('the server has a maximum for unary calls, whatever the caller asks for', async () => {
    await using service = await mountOn(
      rung,
      { getTurn: () => new Promise(() => undefined) },
      { maxUnaryMs: 20 },
    );
    const error = await failure(service.client.getTurn(turnRequest, { timeoutMs: 60_000 }));
    expect(error.code).toBe(Code.DeadlineExceeded);
  });

  test('a caller that leaves aborts the handler and runs its clean-up', async () => {
    const started = Promise.withResolvers<undefined>();
    const aborted = Promise.withResolvers<unknown>();
    const cleaned = Promise.withResolvers<undefined>();
    await using service = await mountOn(rung, {
      getTurn: (_request, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve(signal.reason));
        started.resolve(undefined);
        return new Promise(() => undefined);
      },
      async *subscribe() {
        try {
          for (;;) yield { event: { turnId: 'x' } };
        } finally {
          cleaned.resolve(undefined);
        }
      },
    });
    const unary = new AbortController();
    const call = failure(service.client.getTurn(turnRequest, { signal: unary.signal }));
    await started.promise;
    unary.abort();
    expect((await call).code).toBe(Code.Canceled);
    expect(codeOf(await aborted.promise)).toBe(Code.Canceled);

    const stream = new AbortController();
    const messages = service.client.subscribe({ agentId }, { signal: stream.signal })[Symbol.asyncIterator]();
    await messages.next();
    stream.abort();
    await cleaned.promise;
  });

  test('a shutdown ends running calls and refuses new ones', async () => {
    await using service = await mountOn(rung, {
      async *subscribe() {
        yield { event: { turnId: 'x' } };
        await new Promise(() => undefined);
      },
      getTurn: () => Promise.resolve({}),
    });
    const messages = service.client.subscribe({ agentId })[Symbol.asyncIterator]();
    await messages.next();
    service.chain.shutDown();
    const ended = await failure(messages.next());
    const refused = await failure(service.client.getTurn(turnRequest));
    for (const error of [ended, refused]) {
      expect([error.code, reasonOf(error)]).toEqual([Code.Unavailable, 'SHUTTING_DOWN']);
    }
  });

  test('a reader that stops reading holds the handler back, and loses nothing', async () => {
    // Random, so that compression does not make it small.
    const text = randomBytes(48 * 1024).toString('base64');
    const total = 600;
    let produced = 0;
    await using service = await mountOn(rung, {
      async *subscribe() {
        for (; produced < total; produced++) {
          yield { event: { payload: { case: 'textDelta', value: { text, part: produced } } } };
        }
      },
    });
    const messages = service.client.subscribe({ agentId })[Symbol.asyncIterator]();
    await messages.next();
    await standstill(() => produced);
    // 64 KiB each: what two sockets and the streams' windows may hold, far from everything.
    expect(produced).toBeLessThan(total / 2);
    const parts = [0];
    for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
      const { payload } = next.value.event!;
      if (payload.case === 'textDelta') parts.push(payload.value.part);
    }
    expect(parts).toEqual(Array.from({ length: total }, (_, i) => i));
  });
});

/** Waits until `value` has stayed the same for many turns of the event loop. */
async function standstill(value: () => number): Promise<void> {
  for (let same = 0, last = value(); same < 100; last = value()) {
    await new Promise((resolve) => setTimeout(resolve, 2));
    same = value() === last ? same + 1 : 0;
  }
}

describe.each(networkRungs)('messages on %s', (rung) => {
  test('a message that is too large is refused', async () => {
    await using service = await mountOn(
      rung,
      {
        getTurn: () => Promise.resolve({}),
        async *receive() {
          yield { event: { turnId: 'x' } };
        },
      },
      { maxMessageBytes: 32 * 1024 },
    );
    const text = Array.from({ length: 100_000 }, (_, i) => String(i)).join();
    const error = await failure(
      collect(service.client.receive({ agentId, input: { case: 'text', value: text } })),
    );
    expect(error.code).toBe(Code.ResourceExhausted);
    await service.client.getTurn(turnRequest);
  });

  test('a large message passes', async () => {
    const text = 'y'.repeat(900_000);
    await using service = await mountOn(rung, {
      async *receive({ input }) {
        yield {
          event: {
            payload: {
              case: 'textDelta',
              value: { text: typeof input.value === 'string' ? input.value : '' },
            },
          },
        };
      },
    });
    const [response] = await collect(
      service.client.receive({ agentId, input: { case: 'text', value: text } }),
    );
    expect(response?.event?.payload).toMatchObject({ case: 'textDelta', value: { text } });
  });
});
