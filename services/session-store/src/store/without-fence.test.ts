/** The tests of the fence are tested: with the fence switched off they must fail. */
import { expect, jest, test } from '@jest/globals';
import { sql } from 'kysely';
import { temporaryFolder } from '@agentx/testing';

jest.unstable_mockModule('./fence.ts', () => ({
  heldUnder: () => sql`turn_id <> ''`,
  epochOf: ({ epoch }: { epoch: bigint }) => Number(epoch),
}));

test('without the fence a former holder writes, and the test for it says so', async () => {
  const { staleWritesChangeNothing } = await import('./suite/fence.ts');
  const { openStore } = await import('./suite/harness.ts');
  await using folder = await temporaryFolder();
  const databases = {
    createUrl: () => Promise.resolve(`sqlite:${folder.path}`),
    raceRounds: 1,
    modelRuns: 1,
    severalProcesses: false,
  };
  await using under = await openStore(databases);
  await expect(staleWritesChangeNothing(under)).rejects.toThrow(/not refused/);
});
