import { afterAll, beforeAll, describe } from '@jest/globals';
import { fenceTests } from './suite/fence.ts';
import { openStore } from './suite/harness.ts';
import type { StoreUnderTest, TestDatabases } from './suite/harness.ts';
import { leaseTests, lostAnswerTests, raceTests } from './suite/leases.ts';
import { modelTests } from './suite/model.ts';
import { otherProcessTests, tailTests } from './suite/tail.ts';
import { beginTests } from './suite/begin.ts';
import { historyTests } from './suite/history.ts';
import { stepTests } from './suite/steps.ts';
import { workTests } from './suite/work.ts';

/** What every adapter of SessionStore must do. Tests share a database, each as a tenant of its own. */
export function sessionStoreSuite(name: string, databases: TestDatabases): void {
  describe(name, () => {
    let shared: StoreUnderTest | undefined;
    const get = () => {
      if (shared === undefined) throw new Error('the store is not open');
      return shared;
    };
    beforeAll(async () => {
      shared = await openStore(databases);
    });
    afterAll(async () => {
      await shared?.[Symbol.asyncDispose]();
    });

    describe('beginning a turn', () => beginTests(get));
    describe('the fence', () => fenceTests(get));
    describe('leases', () => leaseTests(get));
    describe('races', () => raceTests(get, databases.raceRounds));
    describe('lost answers', () => lostAnswerTests(get));
    describe('steps', () => stepTests(get));
    describe('reading the log', () => {
      tailTests(get);
      if (databases.severalProcesses) otherProcessTests(get);
    });
    describe('the rules', () => modelTests(get, databases.modelRuns));
    describe('noticing work', () => workTests(databases));
    describe('the history', () => historyTests(get));
  });
}
