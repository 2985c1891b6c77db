import { Code } from '@connectrpc/connect';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { setImmediate as tick } from 'node:timers/promises';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { EventBatch, LogPosition } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createCursorCodec, DomainError } from '@agentx/service-kit';
import type { LogPlace } from '@agentx/service-kit';
import { createLiveTurn } from '../presenters/live-turn.ts';
import { createTurnLog } from '../presenters/turn-log.ts';
import type { RunningTurn } from '../running-turns.ts';
import type { Stores } from '../stores.ts';
import { followFromStart, followLog } from './follow.ts';

const cursors = createCursorCodec('default', 'a1');
const place = { step: 1, attempt: 1 };
const delta = { case: 'textDelta', value: { text: 'x' } } as const;
const fact = { case: 'thinking', value: {} } as const;
const placeOf = ({ cursor }: AgentEvent) => cursors.decode(cursor);

/** A log in memory that is read as the session store's is. */
function createLog() {
  const rows: EventBatch[] = [];
  let changed = Promise.withResolvers<undefined>();
  const isAfter = (row: EventBatch, after: LogPosition) =>
    row.epoch > after.epoch || (row.epoch === after.epoch && row.lastSeq > after.seq);
  const tailEvents = async function* (
    { after, follow }: { after?: LogPosition; follow: boolean },
    { signal }: { signal: AbortSignal },
  ) {
    let last = after ?? { epoch: 0n, seq: 0n };
    const left = new Promise<never>((_, reject) => {
      const canceled = () => reject(new DomainError(Code.Canceled, 'CANCELED', 'the caller has left'));
      signal.addEventListener('abort', canceled);
    });
    left.catch(() => undefined);
    const ended = rows.some(({ endsTurn }) => endsTurn);
    for (;;) {
      const { promise } = changed;
      await tick();
      for (const row of rows.filter((each) => isAfter(each, last as LogPosition))) {
        yield { batch: row };
        if (row.endsTurn) return;
        last = { epoch: row.epoch, seq: row.lastSeq };
      }
      if (!follow || ended) return;
      await Promise.race([promise, left]);
    }
  };
  return {
    add: (row: EventBatch) => {
      rows.push(row);
      changed.resolve(undefined);
      changed = Promise.withResolvers();
    },
    stores: { session: { tailEvents } } as unknown as Stores,
  };
}

type Log = ReturnType<typeof createLog>;

/** A turn that an engine runs, whose writes reach the log when the test says so. */
function runTurn(log: Log, epoch: bigint, lastSeq: number) {
  const live = createLiveTurn(epoch);
  const writes: (() => void)[] = [];
  const published: AgentEvent[] = [];
  const send = (batch: EventBatch) =>
    new Promise<void>((resolve) => {
      writes.push(() => {
        log.add(batch);
        resolve();
      });
    });
  const turnLog = createTurnLog({
    agentId: 'a1',
    turnId: 't1',
    engineId: 'e1',
    epoch,
    lastSeq,
    cursors,
    append: send,
    publish: (event) => {
      published.push(event.event);
      live.publish(event);
    },
    onFailed: () => undefined,
  });
  const running: RunningTurn = {
    live,
    flush: () =>
      turnLog.flush().then(
        () => true,
        () => false,
      ),
    attached: () => undefined,
    done: Promise.resolve(),
  };
  return {
    live,
    running,
    published,
    delta: () => {
      turnLog.append(delta, place);
    },
    fact: () => turnLog.commit([fact], place, send),
    /** Lets the oldest write reach the log. */
    writeOne: () => writes.shift()?.(),
    end: async () => {
      const turn = { ended: false };
      const committed = turnLog.commit([{ case: 'turnEnded', value: {} }], place, (batch) => {
        batch.endsTurn = true;
        return send(batch);
      });
      const ended = committed.then(() => {
        turn.ended = true;
        live.end('ended');
      });
      while (!turn.ended) {
        await tick();
        writes.shift()?.();
      }
      await ended;
    },
  };
}

const request = (after: LogPlace | undefined) => ({
  tenantId: 'default',
  agentId: 'a1',
  turnId: 't1',
  after,
  follow: true,
});

/** Reads to the end in the background. */
function read(groups: AsyncGenerator<readonly AgentEvent[], void>) {
  const events: AgentEvent[] = [];
  const done = (async () => {
    for await (const group of groups) {
      expect(group.length).toBeGreaterThan(0);
      events.push(...group);
    }
  })();
  return { events, done };
}

const never = new AbortController().signal;

describe('a reader of a running turn', () => {
  const move = fc.constantFrom('delta', 'delta', 'fact', 'write', 'write', 'read', 'wait');

  test('gets each event after its cursor once, in order, whenever it comes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(move, { maxLength: 30 }),
        fc.array(fc.nat(40), { maxLength: 8 }),
        fc.nat(6),
        async (moves, picks, before) => {
          const log = createLog();
          // Rows of an engine before this one, of whose epoch readers may have seen more than was kept.
          const former = runTurn(log, 4n, 0);
          for (let n = 0; n < before; n++) former.delta();
          void former.running.flush();
          await tick();
          former.writeOne();
          const turn = runTurn(log, 5n, before);
          const readers: { after: LogPlace | undefined; events: AgentEvent[]; done: Promise<void> }[] = [];

          for (const kind of moves) {
            if (kind === 'delta') turn.delta();
            if (kind === 'fact') void turn.fact();
            if (kind === 'write') turn.writeOne();
            if (kind === 'read') {
              const pick = picks[readers.length % (picks.length || 1)] ?? 0;
              const seen = turn.published[pick];
              const after = seen ? placeOf(seen) : pick === 0 ? undefined : { epoch: 4n, seq: BigInt(pick) };
              const groups = followLog(log.stores, turn.running, request(after), never);
              readers.push({ after, ...read(groups) });
            }
            if (kind === 'wait') await tick();
          }
          await turn.end();
          await Promise.all(readers.map(({ done }) => done));

          const whole = [...former.published, ...turn.published].map(placeOf);
          for (const { after, events } of readers) {
            const rest = whole.filter(
              ({ epoch, seq }) =>
                after === undefined || epoch > after.epoch || (epoch === after.epoch && seq > after.seq),
            );
            expect(events.map(placeOf)).toEqual(rest);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test('that falls behind goes on from the log without a gap', async () => {
    const log = createLog();
    const turn = runTurn(log, 1n, 0);
    const reader = turn.live.subscribe();
    const fromStart = followFromStart(log.stores, reader, request({ epoch: 1n, seq: 0n }), never);
    const groups = followLog(log.stores, turn.running, request(undefined), never);
    turn.delta();
    const first = groups.next();
    await tick();
    turn.writeOne();
    expect((await first).value).toHaveLength(1);
    // Neither reads while all this is published.
    for (let n = 0; n < 6000; n++) turn.delta();
    await turn.end();
    for (const rest of [read(groups), read(fromStart)]) {
      await rest.done;
      const seqs = rest.events.map((event) => Number(placeOf(event).seq));
      const firstSeq = seqs[0]!;
      expect(seqs).toEqual(Array.from({ length: 6003 - firstSeq }, (_, index) => firstSeq + index));
    }
  });

  test('whose engine loses the turn follows the log to its end', async () => {
    const log = createLog();
    const lost = runTurn(log, 1n, 0);
    const reader = read(followLog(log.stores, lost.running, request(undefined), never));
    lost.delta();
    await tick();
    lost.writeOne();
    await tick();
    const heir = runTurn(log, 2n, 1);
    lost.live.end('lost');
    await heir.end();
    await reader.done;
    expect(reader.events.map(placeOf)).toEqual([
      { epoch: 1n, seq: 1n },
      { epoch: 2n, seq: 2n },
    ]);
  });

  test('is given nothing by an engine that does not know yet that it lost the turn', async () => {
    const log = createLog();
    const zombie = runTurn(log, 1n, 0);
    const heir = runTurn(log, 2n, 0);
    await heir.end();
    const reader = read(followLog(log.stores, zombie.running, request(undefined), never));
    await tick();
    zombie.delta();
    await reader.done;
    expect(reader.events.map(placeOf)).toEqual([{ epoch: 2n, seq: 1n }]);
  });

  test('that leaves does not wait for the log', async () => {
    const log = createLog();
    const turn = runTurn(log, 1n, 0);
    turn.delta();
    const leaving = new AbortController();
    // Its write never reaches the log.
    const reader = read(followLog(log.stores, turn.running, request(undefined), leaving.signal));
    await tick();
    leaving.abort();
    await reader.done;
    expect(reader.events).toEqual([]);
  });

  test('that leaves while it waits for events is let go', async () => {
    const log = createLog();
    const turn = runTurn(log, 1n, 0);
    const leaving = new AbortController();
    const reader = turn.live.subscribe();
    const groups = followFromStart(log.stores, reader, request({ epoch: 1n, seq: 0n }), leaving.signal);
    const next = groups.next();
    await tick();
    leaving.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    turn.delta();
    expect(await reader.next()).toBe('lost');
  });
});
