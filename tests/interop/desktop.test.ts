import { startDesktop, temporaryFolder } from '@agentx/testing';
import type { Desktop } from '@agentx/testing';
import { afterAll, beforeAll, describe } from '@jest/globals';
import { buildPrograms } from './harness/programs.ts';
import { allClientsSuite } from './suites/all-clients.ts';
import type { Programs } from './suites/all-clients.ts';

describe('the desktop', () => {
  const ends = new AsyncDisposableStack();
  let desktop: Desktop;
  let programs: Programs;

  beforeAll(async () => {
    const folder = ends.use(await temporaryFolder());
    desktop = ends.use(await startDesktop({ folder: folder.path }));
    programs = ends.use(await buildPrograms());
  }, 300_000);

  afterAll(() => ends.disposeAsync());

  allClientsSuite(
    () => `127.0.0.1:${desktop.port}`,
    () => programs,
  );
});
