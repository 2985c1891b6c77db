import { describe, expect, test } from '@jest/globals';
import { Code } from '@connectrpc/connect';
import fc from 'fast-check';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { codeOf, metadataOf, reasonOf } from '@agentx/service-kit';
import { waitFor } from '@agentx/testing';
import { answer, driverError } from './driver/scripted.fixtures.ts';
import { startRig } from './engine.fixtures.ts';
import type { Rig, ToolScript } from './engine.fixtures.ts';
import { asJson, expectSound, kinds, logged } from './invariants.fixtures.ts';

const echo: ToolScript = async ({ text }) => ({ content: String(text) });
const call = (id: string, text: string) => ({ id, name: 'echo', input: JSON.stringify({ text }) });
const says = (value: string) => ({ case: 'text', value }) as const;

/** A turn with a bit of everything. */
function scriptTurn(rig: Rig): void {
  rig.driver.script(
    answer({ thinking: 'hm', text: ['Hel', 'lo'], calls: [call('c1', 'x'), call('c2', 'y')] }),
    answer({ text: ['Done', '.'] }),
  );
}

describe('the same request again', () => {
  test('yields the same events while the turn runs, after it, and afresh', async () => {
    await using rig = await startRig({ tools: { echo } });
    rig.driver.script(answer({ text: ['Hal'], fail: driverError('MODEL_STREAM_BROKEN', true) }));
    scriptTurn(rig);
    const request = { agentId: 'a1', requestId: 'r1', input: says('hi') };
    const [first, second] = await Promise.all([rig.receive(request), rig.receive(request)]);
    const third = await rig.receive(request);
    for (const events of [first, second, third]) {
      expect(events[0]!.payload.case).toBe('turnAccepted');
      expect(asJson(logged(events))).toEqual(asJson(logged(first)));
      expect(events.at(-1)!.payload.case).toBe('turnEnded');
    }
    const flags = [first, second, third].map(([accepted]) => accepted!.payload.value);
    expect(flags).toMatchObject([
      { deduplicated: false },
      { deduplicated: true },
      { deduplicated: true, requestId: 'r1' },
    ]);
    expect(rig.driver.requests).toHaveLength(3);
    await expectSound(rig, 'a1');
  });

  test('is the same as text or as a message', async () => {
    await using rig = await startRig();
    rig.driver.script(answer({ text: ['Hello'] }));
    const [accepted] = await rig.receive({ agentId: 'a1', requestId: 'r1', input: says('hi') });
    const content = [{ part: { case: 'text', value: { text: 'hi' } } } as const];
    const [again] = await rig.receive({
      agentId: 'a1',
      requestId: 'r1',
      input: { case: 'message', value: { content } },
    });
    expect(again!.turnId).toBe(accepted!.turnId);
  });

  test.each([
    ['text', { input: says('bye') }],
    ['options', { input: says('hi'), options: { maxIterations: 3 } }],
  ])('with other %s is refused', async (_, other) => {
    await using rig = await startRig();
    rig.driver.script(answer({ text: ['Hello'] }));
    await rig.receive({ agentId: 'a1', requestId: 'r1', input: says('hi') });
    const refused: unknown = await rig
      .receive({ agentId: 'a1', requestId: 'r1', ...other })
      .catch((error: unknown) => error);
    expect([codeOf(refused), reasonOf(refused)]).toEqual([Code.InvalidArgument, 'REQUEST_ID_REUSED']);
    await expectSound(rig, 'a1');
  });

  test('of another agent is another request', async () => {
    await using rig = await startRig();
    rig.driver.script(answer({ text: ['one'] }), answer({ text: ['two'] }));
    const [first] = await rig.receive({ agentId: 'a1', requestId: 'r1', input: says('hi') });
    const [second] = await rig.receive({ agentId: 'a2', requestId: 'r1', input: says('hi') });
    expect(second!.turnId).not.toBe(first!.turnId);
  });
});

test('a busy agent refuses a second message and names the turn', async () => {
  await using rig = await startRig();
  const gate = Promise.withResolvers<undefined>();
  rig.driver.script(answer({ text: ['Hello'], hold: gate.promise }));
  const stream = rig.client.receive({ agentId: 'a1', input: says('hi') });
  const events = [];
  for await (const { event } of stream) {
    events.push(event!);
    if (event!.payload.case !== 'textDelta') continue;
    const refused: unknown = await rig
      .receive({ agentId: 'a1', input: says('and?') })
      .catch((error: unknown) => error);
    expect([codeOf(refused), reasonOf(refused)]).toEqual([Code.Aborted, 'TURN_IN_PROGRESS']);
    expect(metadataOf(refused)).toMatchObject({ turn_id: event!.turnId });
    gate.resolve(undefined);
  }
  expect(kinds(events).at(-1)).toBe('turnEnded');
  await expectSound(rig, 'a1');
});

test('a client that leaves in the middle does not stop the turn', async () => {
  await using rig = await startRig({ tools: { echo } });
  const gate = Promise.withResolvers<undefined>();
  rig.driver.script(
    answer({ text: ['Hel', 'lo'], calls: [call('c1', 'x')], hold: gate.promise }),
    answer({ text: ['Done'] }),
  );
  let seen = 0;
  const stream = rig.client.receive({ agentId: 'a1', requestId: 'r1', input: says('hi') });
  for await (const { event } of stream) {
    seen += 1;
    if (event?.payload.case === 'textDelta') break;
  }
  expect(rig.engine.running.size).toBe(1);
  gate.resolve(undefined);
  const all = await rig.receive({ agentId: 'a1', requestId: 'r1', input: says('hi') });
  expect(all.length).toBeGreaterThan(seen);
  expect(kinds(all).at(-1)).toBe('turnEnded');
  await expectSound(rig, 'a1');
});

test('a client that leaves before it has read anything does not stop the turn', async () => {
  await using rig = await startRig();
  rig.driver.script(answer({ text: ['Hello'] }));
  for await (const { event } of rig.client.receive({ agentId: 'a1', input: says('hi') })) {
    expect(event!.payload.case).toBe('turnAccepted');
    break;
  }
  await rig.engine.running.allDone();
  await expectSound(rig, 'a1');
  const { turns } = await rig.client.listTurns({ agentId: 'a1' });
  expect(turns[0]!.status).toBe(TurnStatus.ENDED);
});

describe('subscribing', () => {
  test('after any cursor of an ended turn yields exactly what follows', async () => {
    await using rig = await startRig({ tools: { echo } });
    scriptTurn(rig);
    const events = logged(await rig.receive({ agentId: 'a1', input: says('hi') }));
    const { turnId } = events[0]!;
    for (const [index, { cursor }] of events.entries()) {
      for (const follow of [false, true]) {
        const rest = await rig.subscribe({ agentId: 'a1', turnId, afterCursor: cursor, follow });
        expect(asJson(rest)).toEqual(asJson(events.slice(index + 1)));
      }
    }
    const { turn } = await rig.client.getTurn({ agentId: 'a1', turnId });
    const whole = await rig.subscribe({ agentId: 'a1', afterCursor: turn!.startCursor });
    expect(asJson(whole)).toEqual(asJson(events));
    await expectSound(rig, 'a1');
  });

  test('after any event of a running turn, over and over, yields each event once', async () => {
    await using rig = await startRig({ tools: { echo } });
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 6 }),
        async (stays) => {
          const agentId = `p${++run}`;
          scriptTurn(rig);
          const first = rig.receive({ agentId, input: says('hi') });
          const { turnId } = await waitFor(
            async () => (await rig.client.listTurns({ agentId }).catch(() => undefined))?.turns[0],
            { what: 'the turn', intervalMs: 1 },
          );
          const collected = await collectInPieces(rig, agentId, turnId, stays);
          expect(asJson(collected)).toEqual(asJson(logged(await first)));
        },
      ),
      { numRuns: 30 },
    );
  });

  test('to all turns goes from one to the next', async () => {
    await using rig = await startRig();
    rig.driver.script(answer({ text: ['one'] }), answer({ text: ['two'] }));
    const first = await rig.receive({ agentId: 'a1', input: says('first') });
    const seen: string[] = [];
    let second: Promise<unknown> | undefined;
    const { cursor } = first.at(-3)!;
    for await (const { event } of rig.client.subscribe({
      agentId: 'a1',
      afterCursor: cursor,
      follow: true,
    })) {
      seen.push(event!.payload.case ?? '');
      if (event!.payload.case !== 'turnEnded') continue;
      if (second !== undefined) break;
      second = rig.receive({ agentId: 'a1', input: says('second') });
    }
    await second;
    expect(seen.filter((kind) => kind === 'turnEnded')).toHaveLength(2);
    expect(seen.slice(0, 4)).toEqual(['message', 'turnEnded', 'turnStarted', 'message']);
    await expectSound(rig, 'a1');
  });

  test('is refused for cursors and turns that are not of the agent', async () => {
    await using rig = await startRig();
    rig.driver.script(answer({ text: ['one'] }), answer({ text: ['two'] }));
    const [, event] = await rig.receive({ agentId: 'a1', input: says('hi') });
    await rig.receive({ agentId: 'a2', input: says('hi') });
    const { cursor, turnId } = event!;
    const outcome = (request: Parameters<Rig['subscribe']>[0]) =>
      rig.subscribe(request).then(
        () => 'OK',
        (error: unknown) => [codeOf(error), reasonOf(error)],
      );
    const invalid = [Code.InvalidArgument, 'INVALID_CURSOR'];
    expect(await outcome({ agentId: 'a2', afterCursor: cursor })).toEqual(invalid);
    expect(await outcome({ agentId: 'a1', afterCursor: 'nonsense' })).toEqual(invalid);
    expect(await outcome({ agentId: 'a1', afterCursor: cursor.replace(/^1\./, '9.') })).toEqual(invalid);
    const notFound = [Code.NotFound, 'TURN_NOT_FOUND'];
    expect(await outcome({ agentId: 'a2', turnId })).toEqual(notFound);
    expect(await outcome({ agentId: 'a2', turnId, follow: true })).toEqual(notFound);
  });
});

/** Reads so many events at a time, each time subscribing anew after the last one. */
async function collectInPieces(rig: Rig, agentId: string, turnId: string, stays: readonly number[]) {
  const collected: AgentEvent[] = [];
  for (let round = 0; ; round++) {
    const stay = stays[round % stays.length]!;
    const afterCursor = collected.at(-1)?.cursor ?? '';
    let left = stay;
    for await (const { event } of rig.client.subscribe({ agentId, turnId, afterCursor, follow: true })) {
      collected.push(event!);
      left -= 1;
      if (left === 0 || event!.payload.case === 'turnEnded') break;
    }
    if (collected.at(-1)?.payload.case === 'turnEnded') return collected;
    if (left === stay) throw new Error('the stream of an unfinished turn ended without an event');
  }
}

test('a silent stream says that it is alive', async () => {
  await using rig = await startRig({ engine: { heartbeatMs: 5 } });
  const gate = Promise.withResolvers<undefined>();
  rig.driver.script(answer({ text: ['Hello'], hold: gate.promise }));
  const seen = [];
  for await (const { event } of rig.client.receive({ agentId: 'a1', input: says('hi') })) {
    seen.push(event!);
    if (event!.payload.case === 'heartbeat') gate.resolve(undefined);
  }
  const heartbeat = seen.find(({ payload }) => payload.case === 'heartbeat');
  expect(heartbeat).toMatchObject({ agentId: 'a1', turnId: seen[0]!.turnId, cursor: '' });
  expect(seen.at(-1)!.payload.case).toBe('turnEnded');
  await expectSound(rig, 'a1');
});
