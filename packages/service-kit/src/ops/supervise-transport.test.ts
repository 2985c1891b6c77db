import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import type { DescMethod } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import type { Client, Transport } from '@connectrpc/connect';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { createHealth } from '../health/health.ts';
import type { Health } from '../health/health.ts';
import { defineHealthService } from '../health/health-service.ts';
import { createLogger } from '../logging/index.ts';
import { createServiceChain } from '../middleware.ts';
import { createDirectTransport } from '../mounts/direct.ts';
import { defineService } from '../service.ts';
import { superviseTransport } from './supervise-transport.ts';
import type { SupervisedTransport } from './supervise-transport.ts';

/** Calls that reached the line, by name. */
let calls: string[];
/** Set: what every call fails with. */
let broken: Code | undefined;
let health: Health;
let supervised: SupervisedTransport;
let state: Client<typeof StateStoreService>;
let session: Client<typeof SessionStoreService>;

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask'] });
  calls = [];
  broken = undefined;
  const service = defineService(StateStoreService, {
    getState: ({ agentId }) =>
      agentId === 'a1'
        ? Promise.resolve({})
        : Promise.reject(new ConnectError('no such agent', Code.NotFound)),
  });
  const watching = defineService(SessionStoreService, {
    async *watchWork(_request, { signal }) {
      yield {};
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
    },
  });
  health = createHealth([service]);
  const chain = createServiceChain({ log: createLogger({ name: 'test', level: 'silent' }) });
  const line = breakable(createDirectTransport([service, watching, defineHealthService(health)], chain));
  supervised = superviseTransport(line, StateStoreService, { firstPauseMs: 100, lastPauseMs: 100 });
  state = createClient(StateStoreService, supervised.transport);
  session = createClient(SessionStoreService, supervised.transport);
});

afterEach(() => {
  supervised.close();
  jest.useRealTimers();
});

function breakable(inner: Transport): Transport {
  const note = (method: DescMethod) => {
    calls.push(method.name);
    if (broken !== undefined) throw new ConnectError('broken line', broken);
  };
  return {
    unary: async (method, ...rest) => {
      note(method);
      return inner.unary(method, ...rest);
    },
    stream: async (method, ...rest) => {
      note(method);
      return inner.stream(method, ...rest);
    },
  };
}

const failing = () => expect(state.getState({ agentId: 'a1' })).rejects.toThrow(ConnectError);

test('an answer shows that the service works, also one that refuses', async () => {
  expect(supervised.last()).toBeUndefined();
  await expect(state.getState({ agentId: 'nobody' })).rejects.toThrow('no such agent');
  expect(supervised.last()).toMatchObject({ ok: true });
});

test.each([Code.Unavailable, Code.DeadlineExceeded])(
  'a call that reaches nobody, or gets no answer, failed (code %s)',
  async (code) => {
    broken = code;
    await failing();
    expect(supervised.last()).toMatchObject({ ok: false, error: expect.stringContaining('broken line') });
  },
);

test('after a failure health is asked until the service says that it serves', async () => {
  const changes: boolean[] = [];
  supervised.onChange((ok) => changes.push(ok));
  broken = Code.Unavailable;
  await failing();
  await jest.advanceTimersByTimeAsync(100);
  expect(calls).toEqual(['GetState', 'Check']);

  // It can be reached again, but its own database cannot.
  broken = undefined;
  health.set(StateStoreService.typeName, false);
  await jest.advanceTimersByTimeAsync(100);
  expect(supervised.last()).toMatchObject({ ok: false, error: 'it says that it is not serving' });

  health.set(StateStoreService.typeName, true);
  await jest.advanceTimersByTimeAsync(100);
  expect(supervised.last()).toMatchObject({ ok: true });
  await jest.advanceTimersByTimeAsync(60_000);
  expect(calls).toEqual(['GetState', 'Check', 'Check', 'Check']);
  expect(changes).toEqual([false, true]);
});

test('a stream shows that the service works as soon as it brings something', async () => {
  broken = Code.Unavailable;
  await failing();
  broken = undefined;
  const stream = session.watchWork({ engineId: 'e1' })[Symbol.asyncIterator]();
  await stream.next();
  expect(supervised.last()).toMatchObject({ ok: true });
  await stream.return?.();
});

test('a call that its caller gives up says nothing', async () => {
  const over = new AbortController();
  over.abort();
  await expect(state.getState({ agentId: 'a1' }, { signal: over.signal })).rejects.toThrow(ConnectError);
  expect(supervised.last()).toBeUndefined();
});
