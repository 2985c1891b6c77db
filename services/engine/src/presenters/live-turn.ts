import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';

/** An event and its place in the agent's log. */
export interface LiveEvent {
  readonly seq: number;
  readonly event: AgentEvent;
}

/** Events held for one reader at most; one that falls further behind goes on by reading the log. */
const BUFFERED_EVENTS = 4096;

/** Why a reader's events ended. */
export type LiveEnd =
  /** The turn has ended; its last event was delivered. */
  | 'ended'
  /** The reader was too slow: go on from the log. */
  | 'behind'
  /** This engine no longer writes the turn: go on from the log. */
  | 'lost';

/** What one reader is given, from when it subscribed. */
export interface LiveReader {
  /** Epoch of the events. */
  readonly epoch: bigint;
  /** The next events in order, at least one; or why there will be no more. */
  next(): Promise<readonly LiveEvent[] | LiveEnd>;
  close(): void;
}

/** The stream presenter: hands a running turn's events to the clients of this engine, slow ones never holding it up. */
export interface LiveTurn {
  publish(live: LiveEvent): void;
  end(why: 'ended' | 'lost'): void;
  subscribe(): LiveReader;
}

/** @param epoch of the lease under which the turn is run here */
export function createLiveTurn(epoch: bigint): LiveTurn {
  const readers = new Set<Reader>();
  let ended: LiveEnd | undefined;
  return {
    publish: (live) => {
      for (const reader of readers) reader.push(live);
    },
    end: (why) => {
      ended = why;
      for (const reader of readers) reader.end(why);
      readers.clear();
    },
    subscribe: () => {
      const reader = new Reader(epoch, () => readers.delete(reader));
      if (ended === undefined) readers.add(reader);
      else reader.end(ended);
      return reader;
    },
  };
}

class Reader implements LiveReader {
  readonly epoch: bigint;
  readonly #leave: () => void;
  #buffer: LiveEvent[] = [];
  #end: LiveEnd | undefined;
  #wake: (() => void) | undefined;

  constructor(epoch: bigint, leave: () => void) {
    this.epoch = epoch;
    this.#leave = leave;
  }

  push(live: LiveEvent): void {
    if (this.#buffer.length >= BUFFERED_EVENTS) {
      this.#leave();
      this.end('behind');
      return;
    }
    this.#buffer.push(live);
    this.#wake?.();
  }

  end(why: LiveEnd): void {
    this.#end ??= why;
    this.#wake?.();
  }

  async next(): Promise<readonly LiveEvent[] | LiveEnd> {
    for (;;) {
      if (this.#buffer.length > 0) {
        const events = this.#buffer;
        this.#buffer = [];
        return events;
      }
      if (this.#end !== undefined) return this.#end;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  close(): void {
    this.#leave();
    this.end('lost');
  }
}
