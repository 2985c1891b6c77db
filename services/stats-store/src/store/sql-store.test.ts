import { openDatabase } from '@agentx/service-kit';
import { startPostgres, temporaryFolder } from '@agentx/testing';
import type { PostgresServer } from '@agentx/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe } from '@jest/globals';
import { pino } from 'pino';
import { entities } from './entities.ts';
import { migrations } from './migrations/index.ts';
import { createStatsStore } from './sql-store.ts';
import { statsStoreSuite } from './store.suite.ts';

async function open(url: string) {
  const log = pino({ level: 'silent' });
  const database = await openDatabase({ url, name: 'stats', entities, migrations, log });
  return { store: createStatsStore(database), close: () => database.close() };
}

describe('sqlite', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  beforeEach(async () => {
    folder = await temporaryFolder('agentx-stats-');
  });
  afterEach(() => folder.remove());

  statsStoreSuite(() => open(`sqlite:${folder.path}`));
});

describe('postgresql', () => {
  let server: PostgresServer | undefined;
  let url: string;
  beforeAll(async () => {
    server = await startPostgres({ durable: false });
  }, 60_000);
  afterAll(() => server?.stop());
  beforeEach(async () => {
    url = await server!.createDatabase();
  });

  statsStoreSuite(() => open(url));
});
