import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  bounded,
  collect,
  onlyPayload,
  startDesktop,
  startPostgres,
  startServices,
  temporaryFolder,
  waitFor,
} from '@agentx/testing';
import type { EngineClient, PostgresServer } from '@agentx/testing';
import pg from 'pg';
import { isServing, readiness } from './health-of.ts';
import { processUrls, scrape, valueOf } from './scrape.ts';

/** Leases, the outbox's grace and every other timer are done many times over in this time. */
const LEASE_TTL_MS = 3000;
const SILENCE_MS = 15_000;
/** Connections close when nobody has used them for ten seconds. */
const QUIET_WITHIN_MS = 45_000;

let postgres: PostgresServer;

beforeAll(async () => {
  // What the server does by itself is no use of the database by us.
  postgres = await startPostgres({ durable: false, settings: { autovacuum: 'off' } });
}, 60_000);

afterAll(() => postgres.stop());

interface Activity {
  readonly connections: number;
  readonly sessions: number;
  readonly transactions: number;
}

/** What happened in a database so far, asked through another one, so that the question is not a part of the answer. */
async function activityOf(databaseUrl: string): Promise<Activity> {
  const client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  try {
    const { rows } = await client.query<Record<keyof Activity, string>>(
      `select numbackends as connections, sessions, xact_commit + xact_rollback as transactions
       from pg_stat_database where datname = $1`,
      [new URL(databaseUrl).pathname.slice(1)],
    );
    const { connections, sessions, transactions } = rows[0]!;
    return {
      connections: Number(connections),
      sessions: Number(sessions),
      transactions: Number(transactions),
    };
  } finally {
    await client.end();
  }
}

const start = {
  'a desktop': async (databaseUrl: string, folder: string) => {
    const desktop = await startDesktop({
      folder,
      env: { AGENTX_DATABASE_URL: databaseUrl, AGENTX_LEASE_TTL_MS: String(LEASE_TTL_MS) },
    });
    return { engine: desktop.engine, urls: [desktop.url], watching: desktop.url, stop: () => desktop.stop() };
  },
  'four processes': async (databaseUrl: string, folder: string) => {
    const services = await startServices({
      databaseUrl,
      folder,
      env: { AGENTX_LEASE_TTL_MS: String(LEASE_TTL_MS) },
    });
    const urls = processUrls(services.url);
    return {
      engine: services.engine,
      urls: Object.values(urls),
      watching: urls['session-store'],
      stop: () => services.stop(),
    };
  },
};

describe.each(Object.entries(start))('%s on PostgreSQL', (_name, launch) => {
  test('leaves an idle database alone, also while it is watched', async () => {
    await using folder = await temporaryFolder();
    const databaseUrl = await postgres.createDatabase();
    const system = await launch(databaseUrl, folder.path);
    try {
      await hello(system.engine);
      await waitFor(async () => (await activityOf(databaseUrl)).connections === 0, {
        what: 'connections to be closed',
        timeoutMs: QUIET_WITHIN_MS,
        intervalMs: 250,
      });
      const before = await activityOf(databaseUrl);
      // It did see the turn, …
      expect(before.transactions).toBeGreaterThan(10);
      await watchFor(SILENCE_MS, system.urls);
      // … and nothing since.
      expect(await activityOf(databaseUrl)).toEqual(before);
      // The engine waited for work all the time, and wakes up at once.
      expect(valueOf(await scrape(system.watching), 'agentx_work_watchers')).toBe(1);
      await hello(system.engine);
    } finally {
      await system.stop();
    }
  }, 150_000);
});

async function hello(engine: EngineClient): Promise<void> {
  const request = { agentId: 'a1', input: { case: 'text', value: 'hello' } } as const;
  expect(onlyPayload(await collect(engine.receive(request, bounded())), 'turnEnded').reason).toBe('');
}

/** Does what a platform does around the clock: asks for health, readiness and metrics. */
async function watchFor(ms: number, urls: readonly string[]): Promise<void> {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs) {
    for (const url of urls) {
      expect(await isServing(url)).toBe(true);
      expect((await readiness(url)).status).toBe(200);
      await scrape(url);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
