import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Code, createClient } from '@connectrpc/connect';
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import { AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { DomainError } from '../errors.ts';
import { createHealth } from '../health/health.ts';
import { defineHealthService } from '../health/health-service.ts';
import { Health } from '@agentx/gen/grpc/health/v1/health_pb.ts';
import { createLogger } from '../logging/index.ts';
import { createServiceChain } from '../middleware.ts';
import { createDirectTransport } from '../mounts/direct.ts';
import { defineService } from '../service.ts';
import { inSpan } from './in-span.ts';
import { createTracing } from './open-telemetry.ts';
import { wantsTraces } from './start-tracing.ts';
import { traceTransport } from './trace-transport.ts';
import { activeTracing, setTracing } from './tracing.ts';
import type { Tracing } from './tracing.ts';

describe('tracing is off', () => {
  test('unless the environment asks for it', () => {
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };
    expect(wantsTraces({})).toBe(false);
    expect(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toBe(false);
    expect(wantsTraces(endpoint)).toBe(true);
    expect(wantsTraces({ OTEL_TRACES_EXPORTER: 'otlp' })).toBe(true);
    expect(wantsTraces({ ...endpoint, OTEL_TRACES_EXPORTER: 'none' })).toBe(false);
    expect(wantsTraces({ ...endpoint, OTEL_SDK_DISABLED: 'true' })).toBe(false);
  });

  test('and then a transport is as it was', () => {
    const transport = createDirectTransport([], createServiceChain({ log: createLogger({ name: 'test' }) }));
    expect(activeTracing()).toBeUndefined();
    expect(traceTransport(transport)).toBe(transport);
  });
});

describe('tracing is on', () => {
  const secret = 'yellow-canary';
  const lines: string[] = [];
  const log = createLogger({
    name: 'test',
    level: 'debug',
    destination: { write: (line) => void lines.push(line) },
  });
  const exporter = new InMemorySpanExporter();
  let tracing: Tracing;

  beforeAll(() => {
    tracing = createTracing({ program: 'engine', env: {}, log, exporter });
    setTracing(tracing);
  });

  beforeEach(() => {
    exporter.reset();
    lines.length = 0;
  });

  afterAll(async () => {
    setTracing(undefined);
    await tracing.close();
  });

  /** Clients of services whose handlers log and make spans, over the direct mount. */
  function connect() {
    const inner = (name: string) =>
      inSpan(name, {}, () => {
        log.info(name);
        return Promise.resolve();
      });
    const state = defineService(StateStoreService, {
      getState: async () => {
        await inner('inner');
        return {};
      },
      setState: () =>
        Promise.reject(new DomainError(Code.Unavailable, 'DATABASE_UNAVAILABLE', `no way to ${secret}`)),
      getAgentRecord: () => Promise.reject(new DomainError(Code.NotFound, 'AGENT_NOT_FOUND', secret)),
    });
    const session = defineService(SessionStoreService, {
      async *tailEvents() {
        await inner('before');
        yield {};
        await inner('between');
        yield {};
      },
      async *watchWork() {
        await inner('work');
        yield {};
      },
    });
    const health = defineHealthService(createHealth([state]));
    const transport = traceTransport(
      createDirectTransport([state, session, health], createServiceChain({ log })),
    );
    return {
      state: createClient(StateStoreService, transport),
      session: createClient(SessionStoreService, transport),
      health: createClient(Health, transport),
    };
  }

  /** The spans so far: name, with the name of what each is a part of. */
  async function tree(): Promise<Record<string, string>> {
    const spans = await finished();
    const label = (span: ReadableSpan) =>
      `${['', 'server ', 'client '][span.kind] ?? ''}${span.name.replace(/^.*\//, '')}`;
    const names = new Map(spans.map((span) => [span.spanContext().spanId, label(span)]));
    return Object.fromEntries(
      spans.map((span) => [label(span), names.get(span.parentSpanContext?.spanId ?? '') ?? '']),
    );
  }

  async function finished(): Promise<ReadableSpan[]> {
    await tracing.flush();
    return exporter.getFinishedSpans();
  }

  test('a call is a part of what made it, and what it makes is a part of the call', async () => {
    const { state } = connect();
    await inSpan('outer', {}, () => state.getState({ agentId: 'a1' }));
    expect(await tree()).toEqual({
      outer: '',
      'client GetState': 'outer',
      'server GetState': 'client GetState',
      inner: 'server GetState',
    });
  });

  test('a stream stays a part of its call from one message to the next', async () => {
    const { session } = connect();
    let count = 0;
    await inSpan('outer', {}, async () => {
      for await (const _ of session.tailEvents({ agentId: 'a1' })) count += 1;
    });
    expect(count).toBe(2);
    expect(await tree()).toEqual({
      outer: '',
      'client TailEvents': 'outer',
      'server TailEvents': 'client TailEvents',
      before: 'server TailEvents',
      between: 'server TailEvents',
    });
  });

  test('a stream that its reader leaves has ended', async () => {
    const { session } = connect();
    const leaving = new AbortController();
    for await (const _ of session.tailEvents({ agentId: 'a1' }, { signal: leaving.signal })) break;
    leaving.abort();
    expect(await tree()).toMatchObject({ 'client TailEvents': '', 'server TailEvents': 'client TailEvents' });
  });

  test('failures have a reason and no text; the caller has failed more often than the server', async () => {
    const { state } = connect();
    await expect(state.setState({ state: { agentId: 'a1', status: AgentStatus.IDLE } })).rejects.toThrow(
      secret,
    );
    await expect(state.getAgentRecord({ agentId: 'a1' })).rejects.toThrow(secret);
    const spans = await finished();
    expect(
      spans.map(({ name, kind, attributes, status }) => [
        name.replace(/^.*\//, ''),
        kind,
        status.code,
        attributes['error.type'],
        attributes['rpc.grpc.status_code'],
      ]),
    ).toEqual([
      ['SetState', 1, 2, 'DATABASE_UNAVAILABLE', 14],
      ['SetState', 2, 2, 'DATABASE_UNAVAILABLE', 14],
      ['GetAgentRecord', 1, 0, undefined, 5],
      ['GetAgentRecord', 2, 2, 'AGENT_NOT_FOUND', 5],
    ]);
    expect(
      JSON.stringify(spans.map(({ attributes, events, status }) => [attributes, events, status])),
    ).not.toContain(secret);
  });

  test('health and the watch for work are not traced', async () => {
    const { session, health } = connect();
    await health.check({});
    for await (const _ of session.watchWork({ engineId: 'e1' })) break;
    expect(await tree()).toEqual({ work: '' });
  });

  test('work can point at other work that it is no part of', async () => {
    const other = tracing.startSpan('other');
    await inSpan('watcher', {}, () => {
      tracing.linkActive(other);
      return Promise.resolve();
    });
    other.end();
    const [watcher, pointedAt] = await finished();
    expect(watcher?.links.map(({ context }) => context.spanId)).toEqual([pointedAt?.spanContext().spanId]);
    expect(watcher?.spanContext().traceId).not.toBe(pointedAt?.spanContext().traceId);
  });

  test('log lines tell of the span that they were written in', async () => {
    const { state } = connect();
    log.info('outside');
    await state.getState({ agentId: 'a1' });
    const [inner, server] = await finished();
    expect(
      lines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .map(({ msg, trace_id, span_id }) => [msg, trace_id, span_id]),
    ).toEqual([
      ['outside', undefined, undefined],
      ['inner', inner?.spanContext().traceId, inner?.spanContext().spanId],
      ['call', server?.spanContext().traceId, server?.spanContext().spanId],
    ]);
  });
});
