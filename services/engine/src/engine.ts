import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@agentx/service-kit';
import type { TurnBegun } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { UNOBSERVED } from './observer.ts';
import type { EngineObserver } from './observer.ts';
import type { LiveReader } from './presenters/live-turn.ts';
import { createRunningTurns } from './running-turns.ts';
import type { RunningTurn, RunningTurns } from './running-turns.ts';
import type { TurnContext, TurnParts } from './turn/context.ts';
import { holdLease } from './turn/hold-lease.ts';
import { readBatch } from './turn/envelope.ts';
import { openTurn } from './turn/open-turn.ts';
import type { HeldTurn, OpenTurn } from './turn/open-turn.ts';
import { EngineStoppingError, runTurn } from './turn/run-turn.ts';

export interface EngineOptions {
  readonly engineId: string;
  readonly leaseTtlMs: number;
  /** Model of agents that name none. */
  readonly defaultModel: string;
  readonly autoCreateAgents: boolean;
  /** A remark that every answer carries, for example that the model is simulated. Empty: none. */
  readonly notice: string;
  /** How often a silent stream says that it is alive. */
  readonly heartbeatMs: number;
  readonly parts: TurnParts;
  readonly log: Logger;
  /** Default: nobody. */
  readonly observer?: EngineObserver;
}

/** Runs turns. Holds only what belongs to the turns that run now. */
export interface Engine {
  readonly options: EngineOptions;
  readonly running: RunningTurns;
  /** True once no new turn is accepted. */
  readonly draining: boolean;
  /**
   * Runs a turn that was just begun; the reader gets its events from the first.
   *
   * @param askedMs `performance.now()` before the store was asked to begin it
   */
  start(tenantId: string, begun: TurnBegun, askedMs: number): LiveReader;
  /** Runs whatever is to be done for a turn that this engine has taken the lease of. */
  take(held: HeldTurn, run: (context: TurnContext) => Promise<'ended' | 'lost'>): Promise<void>;
  /** Accepts no new turns, waits so long for the running ones, then stops them. */
  drain(graceMs: number): Promise<void>;
}

export function createEngine(options: EngineOptions): Engine {
  const running = createRunningTurns();
  const stopping = new AbortController();
  let draining = false;

  function open(held: HeldTurn, takenOver: boolean): OpenTurn {
    const { parts, engineId, leaseTtlMs, log, observer = UNOBSERVED } = options;
    const { agentId, turnId } = held.lease.ref;
    const observed = observer.begin({ tenantId: held.tenantId, agentId, turnId, takenOver });
    return observed.run(() =>
      openTurn(held, { parts, engineId, leaseTtlMs, log, observed, signal: stopping.signal }),
    );
  }

  function register(turn: OpenTurn, run: (context: TurnContext) => Promise<'ended' | 'lost'>): RunningTurn {
    const { observed } = turn.context;
    const done = observed
      .run(() => run(turn.context))
      .then((end) => {
        if (end === 'lost') observed.left();
        turn.close();
        turn.live.end(end);
      });
    const entry: RunningTurn = {
      live: turn.live,
      flush: () =>
        turn.context.turnLog.flush().then(
          () => true,
          () => false,
        ),
      attached: observed.attached,
      done,
    };
    running.add(turn.context.turnId, entry);
    return entry;
  }

  return {
    options,
    running,
    get draining() {
      return draining;
    },
    start: (tenantId, { turn: record, lease, batch }, askedMs) => {
      if (record === undefined || batch === undefined)
        throw new Error('the session store began a turn without a record');
      const held = {
        tenantId,
        record,
        lease: holdLease(lease),
        heldSinceMs: askedMs,
        startMs: performance.now(),
      };
      const turn = open(held, false);
      const reader = turn.live.subscribe();
      const { agentId } = turn.context;
      for (const event of readBatch(batch, { agentId, cursors: turn.cursors })) turn.live.publish(event);
      register(turn, runTurn);
      return reader;
    },
    take: (held, run) => register(open(held, true), run).done,
    drain: async (graceMs) => {
      draining = true;
      const waited = new AbortController();
      await Promise.race([
        running.allDone(),
        delay(graceMs, undefined, { signal: waited.signal }).catch(() => undefined),
      ]);
      waited.abort();
      stopping.abort(
        new EngineStoppingError('the engine was stopped before the turn had ended: send the message again'),
      );
      await running.allDone();
    },
  };
}
