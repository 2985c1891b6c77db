import { afterAll } from '@jest/globals';
import { startPostgres, temporaryFolder } from '@agentx/testing';
import type { PostgresServer } from '@agentx/testing';
import { sessionStoreSuite } from './store.suite.ts';

const open: AsyncDisposable[] = [];
afterAll(async () => {
  for (const resource of open.splice(0)) await resource[Symbol.asyncDispose]();
});

sessionStoreSuite('SQLite', {
  raceRounds: 100,
  modelRuns: 60,
  severalProcesses: false,
  createUrl: async () => {
    const folder = await temporaryFolder();
    open.push(folder);
    return `sqlite:${folder.path}`;
  },
});

let server: Promise<PostgresServer> | undefined;
sessionStoreSuite('PostgreSQL', {
  raceRounds: 1000,
  modelRuns: 40,
  severalProcesses: true,
  createUrl: async () => {
    server ??= startPostgres({ durable: false }).then((started) => {
      open.push(started);
      return started;
    });
    return (await server).createDatabase();
  },
});
