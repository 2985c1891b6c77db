/** Any course of events, compared with a model of the log that fits on a page. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { turnLogViolations } from '@agentx/testing';
import type { BeginTurnRequest } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { LeaseRef } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { SessionStore } from '../store.ts';
import { expireLeases, refusal, rowsOf, tailRequest, userMessage } from './harness.ts';
import { beginRequest, createHolder, takeOver } from './holder.ts';
import { Model } from './rules.ts';
import type { Fact, FactName } from './rules.ts';
import type { StoreUnderTest } from './harness.ts';
import type { Holder, Write } from './holder.ts';

type Action =
  | { readonly do: 'begin'; readonly request: number }
  | { readonly do: 'write'; readonly fact: FactName; readonly step: number; readonly former: boolean }
  | { readonly do: 'repeat'; readonly which: number }
  | { readonly do: 'next' | 'expire' | 'acquire' | 'release' | 'addMessage' | 'clear' };

const actions: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('begin' as const), request: fc.nat(4) }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('next' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      fact: fc.constantFrom<FactName[]>(
        'append',
        'startAttempt',
        'failAttempt',
        'answer',
        'answer',
        'startTool',
        'finishTool',
        'skipTool',
        'end',
      ),
      step: fc.integer({ min: 1, max: 3 }),
      former: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('repeat' as const), which: fc.nat(50) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'expire' as const,
        'acquire' as const,
        'release' as const,
        'addMessage' as const,
        'clear' as const,
      ),
    }),
  },
);

/** Does each action to the model and to the store, and compares what both say. */
class Comparison {
  readonly model = new Model();
  private readonly tenantId = randomUUID();
  private readonly holders: Holder[] = [];
  private readonly writes: { fact: Fact; write: Write }[] = [];
  private readonly under: StoreUnderTest;
  private readonly store: SessionStore;

  constructor(under: StoreUnderTest) {
    this.under = under;
    this.store = under.store;
  }

  async do(action: Action): Promise<void> {
    switch (action.do) {
      case 'begin':
        return this.begin(beginRequest('agent', { requestId: `request-${action.request}` }));
      case 'write':
        return this.write(action.fact, action.step, action.former);
      case 'next': {
        const { name, step } = this.model.nextFact();
        return this.write(name, step, false);
      }
      case 'repeat': {
        const former = this.writes[action.which % Math.max(this.writes.length, 1)];
        if (former !== undefined) await this.send(former.fact, former.write);
        return;
      }
      case 'expire':
        await expireLeases(this.under.database, this.tenantId);
        this.model.free = this.model.turnId !== '';
        return;
      case 'acquire':
        return this.acquire();
      case 'release': {
        const holder = this.holders.at(-1);
        if (holder === undefined) return;
        const held = this.model.turnId === holder.ref.turnId && this.model.epoch === holder.ref.epoch;
        // An expired lease can still be given up, a lease that was given up cannot.
        if ((await holder.release()) && !held) throw new Error('a lease was released by somebody else');
        if (held) this.model.free = true;
        return;
      }
      case 'addMessage': {
        const expected = this.model.turnId === '' ? 'not refused' : 'TURN_IN_PROGRESS';
        expect(await refusal(this.store.addMessage(this.tenantId, userMessage('agent', 'hi')))).toBe(
          expected,
        );
        if (expected !== 'not refused') return;
        this.model.grow(this.model.epoch, 1n);
        this.model.position += 1;
        return;
      }
      case 'clear': {
        const expected = this.model.turnId === '' ? 'not refused' : 'TURN_IN_PROGRESS';
        expect(await refusal(this.store.clearMessages(this.tenantId, 'agent'))).toBe(expected);
      }
    }
  }

  private async begin(request: BeginTurnRequest): Promise<void> {
    const { model, tenantId, store } = this;
    const known = model.requests.get(request.requestId);
    if (known === undefined && model.turnId !== '') {
      expect(await refusal(store.beginTurn(tenantId, request))).toBe('TURN_IN_PROGRESS');
      return;
    }
    const { outcome } = await store.beginTurn(tenantId, request);
    expect(outcome.case).toBe(known === undefined ? 'begun' : 'exists');
    if (outcome.case === 'exists') expect(outcome.value.turn?.turn?.turnId).toBe(known);
    if (outcome.case !== 'begun' || outcome.value.lease?.ref === undefined) return;
    model.begin(outcome.value.lease.ref.turnId, request.requestId);
    this.hold(createHolder(store, tenantId, outcome.value.lease));
  }

  private async acquire(): Promise<void> {
    const { model, tenantId, store } = this;
    const ref: LeaseRef | undefined = this.holders.at(-1)?.ref;
    if (ref === undefined) return;
    const expected = model.turnId !== ref.turnId ? 'TURN_ENDED' : model.free ? undefined : 'LEASE_HELD';
    if (expected !== undefined) {
      expect(await refusal(takeOver(store, tenantId, ref))).toBe(expected);
      return;
    }
    const holder = await takeOver(store, tenantId, ref);
    model.acquire();
    this.hold(holder);
  }

  private hold(holder: Holder): void {
    const { model } = this;
    expect([holder.ref.epoch, holder.seq, holder.position]).toEqual([
      model.epoch,
      model.lastSeq,
      model.position,
    ]);
    this.holders.push(holder);
  }

  private async write(name: FactName, step: number, former: boolean): Promise<void> {
    const holder = this.holders.at(former ? -2 : -1) ?? this.holders.at(-1);
    if (holder === undefined) return;
    const { seq, position } = holder;
    const call = `call-${step}`;
    const make: Record<FactName, () => Write> = {
      append: () => holder.append(step),
      startAttempt: () => holder.startAttempt(step),
      failAttempt: () => holder.failAttempt(step),
      answer: () => holder.answer([call], step),
      startTool: () => holder.startTool(call),
      finishTool: () => holder.finishTool(call),
      skipTool: () => holder.finishTool(call, { run: 0 }),
      end: () => holder.end(),
    };
    const write = make[name]();
    const { epoch, turnId } = holder.ref;
    const fact: Fact = { name, epoch, turnId, firstSeq: seq + 1n, lastSeq: holder.seq, step };
    this.writes.push({ fact, write });
    const outcome = await this.send(fact, write);
    if (outcome !== 'applied') Object.assign(holder, { seq, position });
  }

  private async send(fact: Fact, write: Write): Promise<string> {
    const expected = this.model.write(fact);
    let outcome = '';
    const refused = await refusal(
      write.send().then((again) => {
        outcome = again ? 'again' : 'applied';
      }),
    );
    if (outcome === '') outcome = refused;
    expect({ [fact.name]: outcome }).toEqual({ [fact.name]: expected });
    return outcome;
  }

  async compareLogs(): Promise<void> {
    const { tenantId, model } = this;
    const extents: string[] = [];
    const rows = this.store.tailEvents(
      tenantId,
      tailRequest({ agentId: 'agent' }),
      new AbortController().signal,
    );
    for await (const { epoch, firstSeq, lastSeq } of rows) extents.push(`${epoch}: ${firstSeq}-${lastSeq}`);
    expect(extents).toEqual(model.extents);
    const found = await rowsOf(this.under.database, tenantId);
    if (found.turn.length > 0) expect(turnLogViolations(found)).toEqual([]);
  }
}

export function modelTests(get: () => StoreUnderTest, runs: number): void {
  test('any course of events leads to the log that the rules lead to', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(actions, { minLength: 5, maxLength: 60, size: 'max' }), async (course) => {
        const comparison = new Comparison(get());
        for (const action of course) await comparison.do(action);
        await comparison.compareLogs();
      }),
      { numRuns: runs },
    );
  }, 180_000);
}
