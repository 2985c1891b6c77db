/** The rules of the log, for one agent, on one page: what the store is compared with. */
export type FactName =
  'append' | 'startAttempt' | 'failAttempt' | 'answer' | 'startTool' | 'finishTool' | 'skipTool' | 'end';

/** A write as the model knows it: its key, and what it wants to change. */
export interface Fact {
  readonly name: FactName;
  readonly epoch: bigint;
  readonly turnId: string;
  readonly firstSeq: bigint;
  readonly lastSeq: bigint;
  readonly step: number;
}

export class Model {
  epoch = 0n;
  lastSeq = 0n;
  position = 1;
  turnId = '';
  free = false;
  /** The state of each model call and of each step's only tool call. */
  attempts = new Map<number, 'started' | 'settled'>();
  tools = new Map<number, 'planned' | 'started' | 'finished'>();
  readonly requests = new Map<string, string>();
  readonly log: Fact[] = [];
  readonly extents: string[] = [];

  write(fact: Fact): string {
    if (this.log.some((before) => isSame(before, fact))) return 'again';
    const mine = fact.epoch === this.epoch && fact.turnId === this.turnId;
    if (!mine || fact.firstSeq !== this.lastSeq + 1n) return 'FENCED';
    const refused = this.apply(fact);
    if (refused !== undefined) return refused;
    this.log.push(fact);
    this.grow(fact.epoch, fact.lastSeq - fact.firstSeq + 1n);
    this.free = false;
    if (fact.name === 'end') this.turnId = '';
    return 'applied';
  }

  grow(epoch: bigint, count: bigint): void {
    this.extents.push(`${epoch}: ${this.lastSeq + 1n}-${this.lastSeq + count}`);
    this.lastSeq += count;
  }

  begin(turnId: string, requestId: string): void {
    this.requests.set(requestId, turnId);
    this.turnId = turnId;
    this.attempts = new Map();
    this.tools = new Map();
    this.free = false;
    this.epoch += 1n;
    this.position += 1;
    this.grow(this.epoch, 2n);
  }

  acquire(): void {
    this.epoch += 1n;
    this.free = false;
    for (const step of this.attempts.keys()) this.attempts.set(step, 'settled');
  }

  /** The write that a working engine makes next. */
  nextFact(): { readonly name: FactName; readonly step: number } {
    const stepOf = <S>(states: Map<number, S>, wanted: S) =>
      [...states].find(([, state]) => state === wanted)?.[0];
    const planned = stepOf(this.tools, 'planned');
    const running = stepOf(this.tools, 'started');
    const calling = stepOf(this.attempts, 'started');
    if (running !== undefined) return { name: 'finishTool', step: running };
    if (planned !== undefined) return { name: 'startTool', step: planned };
    if (calling !== undefined) return { name: 'answer', step: calling };
    return { name: 'startAttempt', step: Math.max(0, ...this.attempts.keys()) + 1 };
  }

  private apply({ name, step }: Fact): string | undefined {
    const open = [...this.tools.values()].some((state) => state !== 'finished');
    const change = <S>(states: Map<number, S>, from: S, to: S) => {
      if (states.get(step) !== from) return 'INVALID_REQUEST';
      states.set(step, to);
      return undefined;
    };
    switch (name) {
      case 'append':
        return undefined;
      case 'startAttempt':
        if (open) return 'TOOL_RESULT_MISSING';
        if (this.attempts.has(step) || [...this.attempts.values()].includes('started'))
          return 'INVALID_REQUEST';
        this.attempts.set(step, 'started');
        return undefined;
      case 'failAttempt':
        return change(this.attempts, 'started', 'settled');
      case 'answer': {
        const refused = change(this.attempts, 'started', 'settled');
        if (refused !== undefined) return refused;
        this.tools.set(step, 'planned');
        this.position += 1;
        return undefined;
      }
      case 'startTool':
        return change(this.tools, 'planned', 'started');
      case 'finishTool':
      case 'skipTool': {
        const refused = change(this.tools, name === 'skipTool' ? 'planned' : 'started', 'finished');
        if (refused === undefined) this.position += 1;
        return refused;
      }
      case 'end':
        return open ? 'TOOL_RESULT_MISSING' : undefined;
    }
  }
}

/** Batches of plain events are the same when their numbers are, for these tests write the same text in all of them. */
const isSame = (one: Fact, other: Fact): boolean =>
  one === other ||
  (one.name === 'append' &&
    other.name === 'append' &&
    one.epoch === other.epoch &&
    one.turnId === other.turnId &&
    one.firstSeq === other.firstSeq &&
    one.lastSeq === other.lastSeq);
