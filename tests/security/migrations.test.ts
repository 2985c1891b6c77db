/** Data that an older version wrote, after the schema was brought up to date. */
import { startPostgres, temporaryFolder } from '@agentx/testing';
import type { PostgresServer, TemporaryFolder } from '@agentx/testing';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { insertSample, openAt, readAll, storeNames, stores, tablesOf } from './stored-tables.ts';
import type { Row } from './stored-tables.ts';

const tenants = ['tenant-a', 'tenant-b'];

let server: PostgresServer;
let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await temporaryFolder();
  server = await startPostgres({ durable: false });
}, 60_000);
afterAll(async () => {
  await server.stop();
  await folder.remove();
});

const urls = {
  sqlite: (name: string, version: number) => Promise.resolve(`sqlite:${folder.path}/${name}-${version}`),
  postgresql: () => server.createDatabase(),
};

const upgrades = storeNames.flatMap((name) =>
  stores[name].slice(0, -1).map((migration, index) => [name, migration.name, index + 1] as const),
);

describe.each(['sqlite', 'postgresql'] as const)('%s', (dialect) => {
  test.each(upgrades)('the %s store keeps what it had after %s', async (name, _migration, version) => {
    const url = await urls[dialect](name, version);
    const before: Record<string, Row[]> = {};
    {
      await using old = await openAt(name, url, version);
      const tables = await old.read({ sweeper: true }, tablesOf);
      for (const tenantId of tenants) {
        for (const table of tables) {
          await old.transaction({ tenantId }, (tx) => insertSample(tx, table, tenantId));
          const rows = await old.read({ tenantId }, (tx) => readAll(tx, table));
          before[`${tenantId} ${table}`] = rows.filter((row) => row['tenant_id'] === tenantId);
        }
      }
    }
    await using database = await openAt(name, url);
    for (const [key, rows] of Object.entries(before)) {
      const [tenantId = '', table = ''] = key.split(' ');
      const kept = await database.read({ tenantId }, (tx) => readAll(tx, table));
      const own = dialect === 'sqlite' ? kept.filter((row) => row['tenant_id'] === tenantId) : kept;
      expect(rows).toHaveLength(1);
      expect({ [key]: own }).toMatchObject({ [key]: rows });
    }
  });
});
