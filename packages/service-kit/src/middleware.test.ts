import { describe, expect, test } from '@jest/globals';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import {
  AgentRecordSchema,
  CreateAgentRecordRequestSchema,
} from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { BadRequestSchema, ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import { pino } from 'pino';
import { codeOf, DomainError, metadataOf, reasonOf, toConnectError } from './errors.ts';
import { createServiceChain } from './middleware.ts';
import type { CallObserver } from './middleware.ts';
import { createRequestValidation } from './middleware-validation.ts';
import { createDirectTransport } from './mounts/direct.ts';
import { defineService } from './service.ts';
import type { Handlers } from './service.ts';

const turnRequest = { agentId: 'a1', turnId: 't1' };

describe('toConnectError', () => {
  test('an error of ours that came over the network keeps its code, reason, facts and text', () => {
    const info = { domain: 'agentx', reason: 'FENCED', metadata: { epoch: '7' } };
    const received = new ConnectError('not yours any more', Code.Aborted, undefined, [
      { desc: ErrorInfoSchema, value: info },
    ]);
    const told = toConnectError(received);
    expect([told.code, reasonOf(told), told.rawMessage]).toEqual([
      Code.Aborted,
      'FENCED',
      'not yours any more',
    ]);
    expect(metadataOf(told)).toEqual({ epoch: '7' });
  });

  test('a service that cannot be reached is UNAVAILABLE, without its address', () => {
    const told = toConnectError(new ConnectError('connect ECONNREFUSED 10.0.0.7:8091', Code.Unavailable));
    expect([told.code, reasonOf(told)]).toEqual([Code.Unavailable, 'DEPENDENCY_UNAVAILABLE']);
    expect(told.message).not.toContain('10.0.0.7');
  });

  test.each([new ConnectError('SELECT secret', Code.Unknown), new Error('secret'), 'secret', undefined])(
    'anything else is an internal error (%p)',
    (error) => {
      const told = toConnectError(error);
      expect([told.code, told.rawMessage, told.cause]).toEqual([Code.Internal, 'internal error', undefined]);
    },
  );

  test('half a surrogate pair in a text does not break its transport', () => {
    const told = toConnectError(new DomainError(Code.NotFound, 'X', 'no \ud83d'));
    expect(() => encodeURI(told.rawMessage)).not.toThrow();
  });
});

describe('validation', () => {
  test('names nested fields, and does not tell of more fields than a header can hold', () => {
    const validate = createRequestValidation();
    const labels = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`k${i}`, 'x'.repeat(300)]));
    const record = create(AgentRecordSchema, { agentId: '!', labels });
    let error: unknown;
    try {
      validate(CreateAgentRecordRequestSchema, create(CreateAgentRecordRequestSchema, { record }));
    } catch (thrown) {
      error = thrown;
    }
    expect(reasonOf(error)).toBe('INVALID_REQUEST');
    const told = toConnectError(error);
    expect(told.rawMessage).toMatch(/^record\.agent_id: .*; record\.labels\["k0"\]: .*; and 31 more$/);
    expect(told.findDetails(BadRequestSchema)[0]?.fieldViolations).toHaveLength(20);
  });
});

describe('the chain', () => {
  const silent = pino({ level: 'silent' });
  const clientOf = (handlers: Handlers<typeof EngineService>, observers: CallObserver[] = []) => {
    const chain = createServiceChain({ log: silent, observers });
    return createClient(
      EngineService,
      createDirectTransport([defineService(EngineService, handlers)], chain),
    );
  };

  test('tells observers of each call, its end and its code', async () => {
    const seen: unknown[] = [];
    const observer: CallObserver = {
      begin(method) {
        seen.push(method.name);
        return (code, durationMs) => seen.push([method.name, code, durationMs >= 0]);
      },
    };
    const client = clientOf(
      {
        getTurn: () => Promise.resolve({}),
        async *subscribe() {
          yield {};
          throw new DomainError(Code.NotFound, 'TURN_NOT_FOUND', 'no');
        },
      },
      [observer],
    );
    await client.getTurn(turnRequest);
    const drain = async () => {
      for await (const _ of client.subscribe({ agentId: 'a1' }));
    };
    await expect(drain()).rejects.toMatchObject({ code: Code.NotFound });
    expect(seen).toEqual([
      'GetTurn',
      ['GetTurn', undefined, true],
      'Subscribe',
      ['Subscribe', Code.NotFound, true],
    ]);
  });

  test('a signal ends all calls', async () => {
    const ending = new AbortController();
    const chain = createServiceChain({ log: silent, signal: ending.signal });
    const service = defineService(EngineService, { getTurn: () => new Promise(() => undefined) });
    const client = createClient(EngineService, createDirectTransport([service], chain));
    const call = client.getTurn(turnRequest);
    while (chain.activeCalls === 0) await new Promise(setImmediate);
    ending.abort();
    await expect(call).rejects.toMatchObject({ code: Code.Unavailable });
    expect(chain.activeCalls).toBe(0);
  });

  test('a call that was given up before it began does not reach its handler', async () => {
    const client = clientOf({ getTurn: () => Promise.reject(new Error('reached')) });
    const error: unknown = await client
      .getTurn(turnRequest, { signal: AbortSignal.abort() })
      .catch((reason: unknown) => reason);
    expect(codeOf(error)).toBe(Code.Canceled);
  });
});
