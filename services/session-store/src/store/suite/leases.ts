/** Who gets a lease, and what happens when many want it, or when answers are lost. */
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from '@jest/globals';
import { randomUUID } from 'node:crypto';
import { DomainError } from '@agentx/service-kit';
import { turnLogViolations } from '@agentx/testing';
import { createSessionStore } from '../sql-store.ts';
import { expireLeases, log, losingAnswers, refusal, rowsOf, userMessage } from './harness.ts';
import { acquireRequest, begin, beginRequest, createHolder, send, takeOver } from './holder.ts';
import type { StoreUnderTest } from './harness.ts';
import type { Holder, Write } from './holder.ts';

export function leaseTests(get: () => StoreUnderTest): void {
  test('a lease can be taken only when it has expired or was given up', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const first = await begin(store, tenantId, 'agent');
    expect(await refusal(takeOver(store, tenantId, first.ref))).toBe('LEASE_HELD');
    await expireLeases(database, tenantId);
    const second = await takeOver(store, tenantId, first.ref);
    expect(await refusal(takeOver(store, tenantId, first.ref))).toBe('LEASE_HELD');
    expect(await second.release()).toBe(true);
    expect(await second.release()).toBe(false);
    const third = await takeOver(store, tenantId, first.ref);
    expect([first, second, third].map(({ ref }) => ref.epoch)).toEqual([1n, 2n, 3n]);
    await send(third.end());
    expect(await third.release()).toBe(false);
    expect(await refusal(takeOver(store, tenantId, first.ref))).toBe('TURN_ENDED');
    expect(await refusal(third.renew())).toBe('FENCED');
  });

  test('a lease lasts by the clock of the store', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent', { leaseTtl: durationFromMs(100) });
    for (let held = true; held;)
      held = await takeOver(store, tenantId, former.ref).then(
        () => false,
        (error: unknown) => error instanceof DomainError && error.reason === 'LEASE_HELD',
      );
    expect(await refusal(former.append().send())).toBe('FENCED');
  });

  test('an unknown turn or agent is not found, and leaves no trace', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const lost = { agentId: 'agent', turnId: randomUUID() };
    expect(await refusal(store.acquireLease(tenantId, acquireRequest(lost)))).toBe('TURN_NOT_FOUND');
    expect(await refusal(store.getTurn(tenantId, 'agent', lost.turnId))).toBe('TURN_NOT_FOUND');
    expect((await rowsOf(database, tenantId)).lease).toEqual([]);
  });

  test('a taker is told what was done, from where to go on, and how often it was tried', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    await send(former.startAttempt(), former.answer(['call-1']), former.startTool('call-1'));
    const claims: number[] = [];
    let ref = former.ref;
    for (let round = 0; round < 3; round += 1) {
      await expireLeases(database, tenantId);
      const request = acquireRequest(ref, { engineId: `engine-${round}` });
      const taken = await store.acquireLease(tenantId, request);
      claims.push(taken.claims);
      expect(taken.lease).toMatchObject({ lastSeq: former.seq, nextPosition: 3 });
      expect(taken.turn?.turn?.engineId).toBe(`engine-${round}`);
      expect(taken.steps.map(({ kind }) => kind.case)).toEqual(['modelAttempt', 'toolRun']);
      if (taken.lease?.ref) ref = taken.lease.ref;
    }
    expect(claims).toEqual([1, 2, 3]);
    // A result is progress: the count begins anew.
    await expireLeases(database, tenantId);
    const holder = await takeOver(store, tenantId, ref);
    await send(holder.finishTool('call-1'));
    await expireLeases(database, tenantId);
    expect((await store.acquireLease(tenantId, acquireRequest(ref))).claims).toBe(1);
  });

  test('handing a turn over, however often, counts no claim', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    let holder = await begin(store, tenantId, 'agent');
    for (let round = 0; round < 4; round += 1) {
      await holder.release();
      const { lease, claims } = await store.acquireLease(tenantId, acquireRequest(holder.ref));
      expect(claims).toBe(1);
      if (lease) holder = createHolder(store, tenantId, lease);
    }
  });

  test('the same acquisition again is given the same lease', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    await expireLeases(database, tenantId);
    const request = acquireRequest(former.ref);
    const first = await store.acquireLease(tenantId, request);
    expect(await store.acquireLease(tenantId, request)).toEqual(first);
    expect(first.lease?.ref?.epoch).toBe(2n);
  });

  test('a renewed lease cannot be taken', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    const holder = await begin(store, tenantId, 'agent');
    await expireLeases(database, tenantId);
    await holder.renew();
    expect(await refusal(takeOver(store, tenantId, holder.ref))).toBe('LEASE_HELD');
  });

  test('the process that runs all engines lets every lease expire at its start', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const former = await begin(store, tenantId, 'agent');
    await store.expireAllLeases();
    const next = await takeOver(store, tenantId, former.ref);
    expect(next.ref.epoch).toBe(2n);
  });
}

export function raceTests(get: () => StoreUnderTest, raceRounds: number): void {
  const violations = async (tenantId: string) => turnLogViolations(await rowsOf(get().database, tenantId));

  test(`two engines race for a lease ${raceRounds} times: each epoch has one holder`, async () => {
    const { store } = get();
    const tenantId = randomUUID();
    let holder = await begin(store, tenantId, 'agent');
    for (let round = 1; round <= raceRounds; round += 1) {
      await holder.release();
      const racers = await Promise.allSettled([
        takeOver(store, tenantId, holder.ref, { engineId: 'left' }),
        takeOver(store, tenantId, holder.ref, { engineId: 'right' }),
      ]);
      const winners = racers.flatMap((racer) => (racer.status === 'fulfilled' ? [racer.value] : []));
      const reasons = racers.flatMap((racer) =>
        racer.status === 'rejected' && racer.reason instanceof DomainError ? [racer.reason.reason] : [],
      );
      expect(reasons).toEqual(['LEASE_HELD']);
      const [winner] = winners;
      if (winner === undefined) throw new Error('nobody won');
      expect(winner.ref.epoch).toBe(BigInt(round + 1));
      await send(winner.append());
      holder = winner;
    }
    await send(holder.end());
    expect(await violations(tenantId)).toEqual([]);
  }, 300_000);

  test('one request 50 times at once begins one turn', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => store.beginTurn(tenantId, beginRequest('agent', { requestId: 'r' }))),
    );
    const turnIds = answers.map(({ outcome }) =>
      outcome.case === 'begun' || outcome.case === 'exists' ? outcome.value.turn?.turn?.turnId : outcome.case,
    );
    expect(new Set(turnIds).size).toBe(1);
    expect(answers.filter(({ outcome }) => outcome.case === 'begun').length).toBe(1);
    expect(await violations(tenantId)).toEqual([]);
  });

  test('50 requests at once to one agent begin one turn; the others name it', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    const answers = await Promise.allSettled(
      Array.from({ length: 50 }, () => begin(store, tenantId, 'agent')),
    );
    const [winner, ...more] = answers.flatMap((answer) =>
      answer.status === 'fulfilled' ? [answer.value] : [],
    );
    expect(more).toEqual([]);
    for (const answer of answers)
      if (answer.status === 'rejected')
        expect(answer.reason).toMatchObject({
          reason: 'TURN_IN_PROGRESS',
          metadata: { turn_id: winner?.ref.turnId },
        });
    expect(await violations(tenantId)).toEqual([]);
  });

  test('ends race with new turns, added messages, clears and stale writes', async () => {
    const { store, database } = get();
    const tenantId = randomUUID();
    let holder = await begin(store, tenantId, 'agent');
    for (let round = 0; round < Math.min(raceRounds, 60); round += 1) {
      const current = holder;
      await send(current.startAttempt());
      await expireLeases(database, tenantId);
      const stale = createStale(current);
      const [ended, next] = await Promise.allSettled([
        current.end({ answerStep: 1 }).send(),
        begin(store, tenantId, 'agent'),
        store.addMessage(tenantId, userMessage('agent', `round ${round}`)),
        ...(round % 10 === 9 ? [store.clearMessages(tenantId, 'agent')] : []),
        stale.send(),
      ]);
      // The stale write is the same engine's: whichever of the two came first is the one that counts.
      if (ended.status === 'rejected') {
        await expireLeases(database, tenantId);
        const taker = await takeOver(store, tenantId, current.ref);
        await send(taker.end());
      }
      holder = next.status === 'fulfilled' ? next.value : await begin(store, tenantId, 'agent');
    }
    await send(holder.end());
    expect(await violations(tenantId)).toEqual([]);
  });

  test('40 agents at once, each with its own course, keep the order of their logs', async () => {
    const { store } = get();
    const tenantId = randomUUID();
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        for (let turn = 0; turn < 2; turn += 1) {
          const holder = await begin(store, tenantId, `agent-${index}`);
          await send(holder.startAttempt(), holder.append(index + 1), holder.answer(['call']));
          await send(holder.startTool('call'), holder.finishTool('call'), holder.end());
        }
      }),
    );
    expect(await violations(tenantId)).toEqual([]);
    const { turn, outbox } = await rowsOf(get().database, tenantId);
    expect([turn.length, outbox.length]).toEqual([80, 80]);
  });
}

/** Another write under the numbers that the holder uses next. */
function createStale(holder: Holder): Write {
  const { seq } = holder;
  const write = holder.append(1, 'stale');
  holder.seq = seq;
  return write;
}

export function lostAnswerTests(get: () => StoreUnderTest): void {
  const COURSE: readonly ((holder: Holder) => Write)[] = [
    (holder) => holder.append(3),
    (holder) => holder.startAttempt(1, 1),
    (holder) => holder.failAttempt(1, 1),
    (holder) => holder.startAttempt(1, 2),
    (holder) => holder.answer(['call-1'], 1, 2),
    (holder) => holder.startTool('call-1'),
    (holder) => holder.finishTool('call-1'),
    (holder) => holder.startAttempt(2, 1),
    (holder) => holder.end({ answerStep: 2 }),
  ];

  test('whatever answer is lost, the write that is repeated changes nothing', async () => {
    const { store, database } = get();
    const losing = createSessionStore(losingAnswers(database), { log });
    const tenantId = randomUUID();
    const repeated = async <T>(of: (through: typeof store) => Promise<T>): Promise<T> => {
      expect(await refusal(of(losing))).toBe('DATABASE_UNAVAILABLE');
      const after = withoutExpiry(await rowsOf(database, tenantId));
      const answer = await of(store);
      expect(withoutExpiry(await rowsOf(database, tenantId))).toEqual(after);
      return answer;
    };
    await repeated((through) => through.addMessage(tenantId, userMessage('agent', 'one', 'r')));
    const request = beginRequest('agent');
    const { outcome } = await repeated((through) => through.beginTurn(tenantId, request));
    if (outcome.case !== 'begun' || !outcome.value.lease) throw new Error('the turn did not begin');
    await expireLeases(database, tenantId);
    const acquisition = acquireRequest({ agentId: 'agent', turnId: outcome.value.lease.ref?.turnId ?? '' });
    const { lease } = await repeated((through) => through.acquireLease(tenantId, acquisition));
    if (lease === undefined) throw new Error('the answer holds no lease');

    // The same writes, made twice from the same state: once for the store that loses the answers.
    const lossy = createHolder(losing, tenantId, lease);
    for (const next of COURSE) {
      const write = next(lossy);
      expect(await refusal(write.send())).toBe('DATABASE_UNAVAILABLE');
      const after = await rowsOf(database, tenantId);
      expect({ [write.name]: await refusal(write.send()) }).toEqual({ [write.name]: 'DATABASE_UNAVAILABLE' });
      expect(await rowsOf(database, tenantId)).toEqual(after);
    }
    await repeated((through) => through.clearMessages(tenantId, 'agent'));
    await repeated((through) => through.ackOutbox(tenantId, [lease.ref?.turnId ?? '']));
    losing.close();
  });
}

/** An acquisition that is repeated lasts from then on; nothing else of it changes. */
const withoutExpiry = (rows: Awaited<ReturnType<typeof rowsOf>>) => ({
  ...rows,
  lease: rows.lease.map((row) => ({ ...row, expires_at_ms: 0 })),
});
