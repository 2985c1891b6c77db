import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Code } from '@connectrpc/connect';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createLogger } from '../logging/index.ts';
import { createHealth } from '../health/health.ts';
import { defineService } from '../service.ts';
import { followDependencies } from './follow-dependencies.ts';
import { createMetrics, observeCalls } from './metrics.ts';
import { createReadiness } from './readiness.ts';
import type { DependencyOutcome } from './readiness.ts';
import type { Ops } from './start-ops.ts';
import { startOps } from './start-ops.ts';

const at = new Date('2026-01-31T12:00:00Z');
const log = createLogger({ name: 'engine', level: 'silent' });

let ops: Ops;
let metrics: ReturnType<typeof createMetrics>;
let database: DependencyOutcome | undefined;
let ending: AbortController;

beforeEach(async () => {
  database = undefined;
  ending = new AbortController();
  metrics = createMetrics('engine');
  const ready = createReadiness({
    ending: ending.signal,
    dependencies: { database: { last: () => database, onChange: () => () => undefined } },
  });
  ops = await startOps({ listen: '127.0.0.1:0', metrics, ready, log });
});

afterEach(() => ops.close());

const get = (path: string, init?: RequestInit) => fetch(`http://${ops.address}${path}`, init);

test('/healthz says that the process lives, whatever its dependencies do', async () => {
  database = { ok: false, at, error: 'refused' };
  expect((await get('/healthz')).status).toBe(200);
});

test('/readyz tells the last outcome of each dependency', async () => {
  const fresh = await get('/readyz');
  expect([fresh.status, await fresh.json()]).toEqual([
    200,
    { ok: true, details: { database: { ok: true } } },
  ]);

  database = { ok: false, at, error: 'no connection to postgres://u:canarycanary@db/agentx' };
  const broken = await get('/readyz');
  expect([broken.status, await broken.json()]).toEqual([
    503,
    {
      ok: false,
      details: {
        database: {
          ok: false,
          at: at.toISOString(),
          error: 'no connection to postgres://u:[redacted]@db/agentx',
        },
      },
    },
  ]);

  database = { ok: true, at };
  expect((await get('/readyz')).status).toBe(200);
  ending.abort();
  expect((await get('/readyz')).status).toBe(503);
});

test('/metrics counts and times calls by service, method and code', async () => {
  const { begin } = observeCalls(metrics);
  const endOk = begin(EngineService.method.getTurn, new Headers());
  const endMissing = begin(EngineService.method.getTurn, new Headers());
  begin(EngineService.method.receive, new Headers());
  endOk(undefined, 3);
  endMissing(Code.NotFound, 700);
  const response = await get('/metrics?debug');
  expect(response.headers.get('content-type')).toContain('text/plain');
  const text = await response.text();
  const turn = 'service="agentx.engine.v1.EngineService",method="GetTurn"';
  expect(text).toContain(`agentx_rpc_total{${turn},code="ok",program="engine"} 1`);
  expect(text).toContain(`agentx_rpc_total{${turn},code="not_found",program="engine"} 1`);
  expect(text).toContain(`agentx_rpc_seconds_bucket{le="0.005",program="engine",${turn}} 1`);
  expect(text).toContain(`agentx_rpc_seconds_count{program="engine",${turn}} 2`);
  expect(text).toContain(`agentx_rpc_active{${turn},program="engine"} 0`);
  expect(text).toContain('method="Receive",program="engine"} 1');
  expect(text).toContain('process_resident_memory_bytes{program="engine"}');
});

test('anything else is refused', async () => {
  expect((await get('/')).status).toBe(404);
  expect((await get('/metrics', { method: 'POST' })).status).toBe(405);
});

test('an address in use is an error that names it', async () => {
  const again = startOps({ listen: ops.address, metrics, ready: () => ({ ok: true, details: {} }), log });
  await expect(again).rejects.toMatchObject({ code: 'EADDRINUSE', syscall: 'listen' });
});

test('a dependency that is not required is told of and keeps nobody waiting', async () => {
  const health = createHealth([defineService(EngineService, {})]);
  const listeners: ((ok: boolean) => void)[] = [];
  const outcomes: Record<string, DependencyOutcome> = {};
  const dependency = (name: string) => ({
    last: () => outcomes[name],
    onChange: (listener: (ok: boolean) => void) => {
      listeners.push(listener);
      return () => undefined;
    },
  });
  const dependencies = { session: dependency('session'), stats: { ...dependency('stats'), required: false } };
  followDependencies({ dependencies, health, services: [EngineService], metrics });
  const ready = createReadiness({ ending: ending.signal, dependencies });
  const seen = async (name: string, ok: boolean) => {
    outcomes[name] = ok ? { ok, at } : { ok, at, error: 'away' };
    for (const listener of listeners) listener(ok);
    const gauge = await metrics.registry.getSingleMetric('agentx_dependency_ok')!.get();
    const value = gauge.values.find(({ labels }) => labels.dependency === name)?.value;
    return [ready().ok, health.isServing(EngineService.typeName), value];
  };

  expect(await seen('stats', false)).toEqual([true, true, 0]);
  expect(ready().details).toEqual({
    session: { ok: true },
    stats: { ok: false, required: false, at, error: 'away' },
  });
  expect(await seen('session', false)).toEqual([false, false, 0]);
  expect(await seen('session', true)).toEqual([true, true, 1]);
});
