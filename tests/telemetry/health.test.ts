import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  bounded,
  collect,
  onlyPayload,
  processesWith,
  refusalOf,
  startPostgres,
  startServices,
  temporaryFolder,
  waitFor,
} from '@agentx/testing';
import type { PostgresServer, Services, TemporaryFolder } from '@agentx/testing';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { isServing, readiness } from './health-of.ts';
import { processUrls } from './scrape.ts';

let postgres: PostgresServer;
let folder: TemporaryFolder;
let services: Services;
let urls: ReturnType<typeof processUrls>;

beforeAll(async () => {
  [postgres, folder] = await Promise.all([startPostgres({ durable: false }), temporaryFolder()]);
  services = await startServices({ databaseUrl: await postgres.createDatabase(), folder: folder.path });
  urls = processUrls(services.url);
}, 90_000);

afterAll(async () => {
  await services.stop();
  await postgres.stop();
  await folder.remove();
});

const say = (text: string) =>
  services.engine.receive({ agentId: 'a1', input: { case: 'text', value: text } }, bounded());

/** By process: whether gRPC health and /readyz say that it can do its work; where they differ, both. */
async function states(): Promise<Record<string, unknown>> {
  const entries = Object.entries(urls).map(async ([name, url]) => {
    const [serving, { status }] = await Promise.all([isServing(url), readiness(url)]);
    return [name, serving === (status === 200) ? serving : { serving, status }] as const;
  });
  return Object.fromEntries(await Promise.all(entries));
}

const allWell = { engine: true, 'session-store': true, 'stats-store': true, 'state-store': true };

test('health follows the database: away with a failed use, back without anybody asking', async () => {
  expect(onlyPayload(await collect(say('hello')), 'turnEnded').reason).toBe('');
  expect(await states()).toEqual(allWell);

  process.kill(postgres.pid, 'SIGINT');
  // The state store is the first that a message needs. The session store may have had something to do; statistics not.
  expect(await refusalOf(say('are you there?'))).toMatchObject({ code: 'Unavailable' });
  expect(await states()).toMatchObject({ engine: false, 'state-store': false, 'stats-store': true });
  const { status, text } = await readiness(urls.engine);
  expect([status, JSON.parse(text)]).toMatchObject([
    503,
    { ok: false, details: { 'state-store': { ok: false }, 'stats-store': { ok: true, required: false } } },
  ]);

  await postgres.restart();
  await waitFor(async () => JSON.stringify(await states()) === JSON.stringify(allWell), {
    what: 'all processes to be well again',
    timeoutMs: 45_000,
    intervalMs: 100,
  });
  expect(onlyPayload(await collect(say('hello again')), 'turnEnded').reason).toBe('');
}, 120_000);

test('an engine knows when a store that it needs is gone, and when it is back', async () => {
  const pid = pidOf('services/state-store/src/main.ts');
  process.kill(pid, 'SIGSTOP');
  try {
    expect(await refusalOf(services.engine.listTurns({ agentId: 'a1' }, { timeoutMs: 1500 }))).toMatchObject({
      code: 'DeadlineExceeded',
    });
    await waitFor(async () => !(await isServing(urls.engine)), {
      what: 'the engine to notice',
      timeoutMs: 45_000,
    });
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await waitFor(() => isServing(urls.engine), { what: 'the engine to be well again', timeoutMs: 45_000 });
}, 120_000);

/** The process among those that were started here. */
function pidOf(part: string): number {
  const family = new Set(descendants(services.process.pid));
  const own = processesWith(part).filter((pid) => family.has(pid));
  expect(own).toHaveLength(1);
  return own[0]!;
}

function descendants(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter(Boolean)
    .map(Number);
  return [...children, ...children.flatMap(descendants)];
}
