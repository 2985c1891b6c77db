import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Lease, LeaseRef, TurnRecord } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { createCursorCodec } from '@agentx/service-kit';
import type { CursorCodec, Logger } from '@agentx/service-kit';
import type { ObservedTurn } from '../observer.ts';
import { createLiveTurn } from '../presenters/live-turn.ts';
import type { LiveTurn } from '../presenters/live-turn.ts';
import { createStatePresenter, statusAfter } from '../presenters/state-presenter.ts';
import { createTurnLog } from '../presenters/turn-log.ts';
import { actingFor } from '../stores.ts';
import { persist } from './context.ts';
import type { TurnContext, TurnParts } from './context.ts';
import { createLeaseKeeper, LeaseLostError } from './lease-keeper.ts';
import { createMessageMaker } from './messages.ts';

export interface HeldTurn {
  readonly tenantId: string;
  readonly record: TurnRecord;
  readonly lease: Lease & { readonly ref: LeaseRef };
  /** `performance.now()` before the lease was asked for. */
  readonly heldSinceMs: number;
  /** `performance.now()` from when the turn's duration counts. */
  readonly startMs: number;
}

export interface OpenTurnOptions {
  readonly parts: TurnParts;
  readonly engineId: string;
  readonly leaseTtlMs: number;
  readonly log: Logger;
  readonly observed: ObservedTurn;
  /** Aborts when the engine stops. */
  readonly signal: AbortSignal;
}

export interface OpenTurn {
  readonly context: TurnContext;
  readonly live: LiveTurn;
  /** Of the agent. */
  readonly cursors: CursorCodec;
  close(): void;
}

/** Puts together what a held turn is run with: its log, its presenters, and the keeper of its lease. */
export function openTurn(held: HeldTurn, options: OpenTurnOptions): OpenTurn {
  const { tenantId, record } = held;
  const { ref, lastSeq, nextPosition } = held.lease;
  const { agentId, turnId, epoch } = ref;
  const { parts, engineId, leaseTtlMs, observed } = options;
  const log = options.log.child({ tenantId, agentId, turnId, epoch: Number(epoch) });
  const leaseTtl = durationFromMs(leaseTtlMs);
  const live = createLiveTurn(epoch);
  const cursors = createCursorCodec(tenantId, agentId);
  const stopped = new AbortController();
  const states = createStatePresenter({
    agentId,
    turnId,
    epoch,
    set: (state) => parts.stores.state.setState({ state }, actingFor(tenantId)),
    log,
  });
  const keeper = createLeaseKeeper({
    ttlMs: leaseTtlMs,
    heldSinceMs: held.heldSinceMs,
    renew: () =>
      observed.renewal(() =>
        parts.stores.session.renewLease(
          { lease: ref, leaseTtl },
          actingFor(tenantId, { timeoutMs: Math.round(leaseTtlMs / 3) }),
        ),
      ),
    onLost: (error) => {
      observed.leaseLost();
      stopped.abort(error);
    },
    log,
  });
  // Not AbortSignal.any: the engine's signal outlives its turns and must not gather them.
  const onStopping = () => {
    stopped.abort(options.signal.reason);
  };
  options.signal.addEventListener('abort', onStopping);
  if (options.signal.aborted) onStopping();
  const turnLog = createTurnLog({
    agentId,
    turnId,
    engineId,
    epoch,
    lastSeq: Number(lastSeq),
    cursors,
    append: (batch) =>
      persist(context, (call) => parts.stores.session.appendEvents({ lease: ref, leaseTtl, batch }, call)),
    onWritten: observed.batchWritten,
    publish: (event) => {
      live.publish(event);
      const status = statusAfter(event.event.payload.case);
      if (status !== undefined) states.show(status, event.seq);
    },
    onFailed: (error) => {
      stopped.abort(
        error instanceof LeaseLostError
          ? error
          : new LeaseLostError('the turn log cannot be written', { cause: error }),
      );
    },
  });
  const context: TurnContext = {
    tenantId,
    agentId,
    turnId,
    record,
    lease: ref,
    leaseTtl,
    parts,
    turnLog,
    messages: createMessageMaker(agentId, turnId, nextPosition),
    keeper,
    signal: stopped.signal,
    log,
    observed,
    tally: {
      startMs: held.startMs,
      ttftMs: undefined,
      toolCalls: 0,
      attempts: [],
      model: '',
      workingDirectory: record.workingDirectory,
      openCalls: new Map(),
    },
  };
  return {
    context,
    live,
    cursors,
    close: () => {
      keeper.stop();
      options.signal.removeEventListener('abort', onStopping);
    },
  };
}
