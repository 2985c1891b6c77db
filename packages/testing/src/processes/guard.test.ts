import { expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isRunning } from './process-family.ts';
import { startProcess } from './start-process.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { waitFor } from './wait-for.ts';

const fixture = fileURLToPath(new URL('./fixtures/leaves-things-behind.ts', import.meta.url));

interface LeftBehind {
  pids: number[];
  folder: string;
}

test.each(['SIGKILL', 'SIGTERM', 'SIGINT'] as const)(
  'nothing outlives a process that ends by %s',
  async (signal) => {
    await using parent = await startProcess({
      name: 'parent',
      command: process.execPath,
      args: [fixture],
      ready: /"pids"/,
    });
    const { pids, folder } = JSON.parse(await parent.waitForLine(/"pids"/)) as LeftBehind;
    expect(pids.map(isRunning)).toEqual([true, true, true]);
    expect(existsSync(folder)).toBe(true);

    parent.kill(signal);
    await parent.exited;
    await waitFor(() => !pids.some(isRunning), { what: 'the processes to end' });
    await waitFor(() => !existsSync(folder), { what: 'the folder to be removed' });
  },
);

test('a temporary folder goes with its block', async () => {
  let path: string;
  {
    await using folder = await temporaryFolder();
    path = folder.path;
    expect(existsSync(path)).toBe(true);
  }
  expect(existsSync(path)).toBe(false);
});
