import type { LiveTurn } from './presenters/live-turn.ts';

/** A turn that this engine is running. */
export interface RunningTurn {
  readonly live: LiveTurn;
  /** Writes what readers have seen to the log; false when the turn is lost. */
  flush(): Promise<boolean>;
  /** A request that is answered now watches the turn. */
  attached(): void;
  /** Fulfils when the turn has ended or was lost. */
  readonly done: Promise<void>;
}

/** The turns that this engine is running, so that their readers here need not wait for the log. */
export interface RunningTurns {
  get(turnId: string): RunningTurn | undefined;
  add(turnId: string, turn: RunningTurn): void;
  readonly size: number;
  /** Fulfils when none runs any more. */
  allDone(): Promise<void>;
}

export function createRunningTurns(): RunningTurns {
  const turns = new Map<string, RunningTurn>();
  return {
    get: (turnId) => turns.get(turnId),
    add: (turnId, turn) => {
      turns.set(turnId, turn);
      void turn.done.then(() => {
        if (turns.get(turnId) === turn) turns.delete(turnId);
      });
    },
    get size() {
      return turns.size;
    },
    allDone: async () => {
      while (turns.size > 0) await Promise.all([...turns.values()].map(({ done }) => done));
    },
  };
}
