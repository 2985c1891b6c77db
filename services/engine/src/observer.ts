import type { TurnStats } from '@agentx/gen/agentx/common/v1/usage_pb.ts';

/** Sees turns from outside, for metrics and traces. Must not throw. */
export interface EngineObserver {
  /** A turn begins to run on this engine. */
  begin(turn: BegunTurn): ObservedTurn;
}

export interface BegunTurn {
  readonly tenantId: string;
  readonly agentId: string;
  readonly turnId: string;
  /** True when another engine had begun it. */
  readonly takenOver: boolean;
}

/** One turn, as its observer is told of it. */
export interface ObservedTurn {
  /** Runs work of the turn. */
  run<T>(work: () => T): T;
  /** Another request came to watch the turn: the one that is being answered now. */
  readonly attached: () => void;
  /** A batch of events is in the log, so long after its first event was made. */
  readonly batchWritten: (lagMs: number) => void;
  /** Makes an attempt to extend the lease. */
  renewal<T>(renew: () => Promise<T>): Promise<T>;
  readonly leaseLost: () => void;
  /** The end is committed. @param failure the reason, where it ended with an error */
  ended(stats: TurnStats | undefined, failure: string | undefined): void;
  /** The turn is left without an end, to whoever notices it. */
  left(): void;
}

/** For engines that nobody observes. */
export const UNOBSERVED: EngineObserver = {
  begin: () => ({
    run: (work) => work(),
    attached: () => undefined,
    batchWritten: () => undefined,
    renewal: (renew) => renew(),
    leaseLost: () => undefined,
    ended: () => undefined,
    left: () => undefined,
  }),
};
