import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { sql } from 'kysely';
import { WorkItemSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { WorkItem } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { Database, Logger, Transaction } from '@agentx/service-kit';
import { waitingOutbox } from './end-turn.ts';

const SWEEP_LIMIT = 500;
/** The engine that ended a turn delivers its outbox entry at once; only what it left behind is work for others. */
const OUTBOX_GRACE_MS = 2000;
/** Work that was handed out and not done is handed out again. */
const RETRY_MS = 2000;
/** Far above every lease; a timer of more than 2^31 ms would fire at once. */
const MAX_WAIT_MS = 3_600_000;

/** Notices turns without an engine and undelivered outbox entries; silent while there are none. */
export interface WorkWatcher {
  /** A lease was written that lasts so long: look again when it should be gone. */
  expectWithin(ms: number): void;
  /** An outbox entry was left: look whether it was delivered. */
  expectOutbox(): void;
  /** What there is, then what comes up. Ends when the signal aborts or the watcher is closed. */
  watch(signal: AbortSignal): AsyncGenerator<WorkItem>;
  close(): void;
}

interface LeaseOfWork {
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly turn_id: string;
  readonly expires_in_ms: number;
}

/** Work by its identity. */
type Work = ReadonlyMap<string, WorkItem>;

export function createWorkWatcher(database: Database, log: Logger): WorkWatcher {
  const watchers = new Set<(work: Work) => void>();
  const closing = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let dueAt = Infinity;
  let sweeping = Promise.resolve();

  function arm(ms: number): void {
    const at = performance.now() + ms;
    if (at >= dueAt || closing.signal.aborted) return;
    clearTimeout(timer);
    dueAt = at;
    timer = setTimeout(
      () => {
        sweeping = sweeping.then(sweep);
      },
      Math.min(ms, MAX_WAIT_MS),
    );
  }

  async function sweep(): Promise<void> {
    dueAt = Infinity;
    if (watchers.size === 0 || closing.signal.aborted) return; // The next watcher is given everything when it comes.
    try {
      const { work, nextMs } = await database.read({ sweeper: true }, (tx) => findWork(tx, OUTBOX_GRACE_MS));
      for (const tell of watchers) tell(work);
      if (nextMs !== undefined) arm(nextMs);
    } catch (error) {
      log.warn({ err: error }, 'looking for work failed, trying again');
      arm(RETRY_MS);
    }
  }

  return {
    expectWithin: arm,
    expectOutbox: () => arm(OUTBOX_GRACE_MS),
    watch: async function* (callerSignal) {
      const signal = AbortSignal.any([callerSignal, closing.signal]);
      let queue = new Map<string, WorkItem>();
      let wake: (() => void) | undefined;
      const onAbort = () => wake?.();
      const tell = (work: Work) => {
        // Each look finds all there is: what waits to be read and is not found again was done by others.
        queue = new Map(work);
        wake?.();
      };
      watchers.add(tell);
      signal.addEventListener('abort', onAbort);
      try {
        const { work, nextMs } = await database.read({ sweeper: true }, (tx) => findWork(tx, 0));
        tell(work);
        if (nextMs !== undefined) arm(nextMs);
        while (!signal.aborted) {
          const [next] = queue;
          if (next !== undefined) {
            queue.delete(next[0]);
            yield next[1];
          } else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
      } finally {
        watchers.delete(tell);
        signal.removeEventListener('abort', onAbort);
      }
    },
    close: () => {
      closing.abort();
      clearTimeout(timer);
    },
  };
}

/** Work of all tenants, and after how long to look again; undefined when nothing is left to look for. */
async function findWork(
  tx: Transaction,
  outboxGraceMs: number,
): Promise<{ work: Work; nextMs: number | undefined }> {
  const leases = await tx.rows(
    sql<LeaseOfWork>`select tenant_id, agent_id, turn_id, expires_at_ms - ${tx.nowMs} as expires_in_ms
        from ${tx.table('lease')} where turn_id <> '' order by expires_at_ms limit ${SWEEP_LIMIT}`,
  );
  const outbox = await waitingOutbox(tx, SWEEP_LIMIT);
  const work = new Map<string, WorkItem>();
  const waits: number[] = [];
  for (const { tenant_id: tenantId, agent_id: agentId, turn_id: turnId, expires_in_ms: waitMs } of leases) {
    if (waitMs > 0) waits.push(waitMs + 1);
    else work.set(`turn ${turnId}`, workItem({ case: 'turn', value: { tenantId, agentId, turnId } }));
  }
  for (const { entry, waitedMs } of outbox) {
    if (waitedMs < outboxGraceMs) waits.push(outboxGraceMs - waitedMs + 1);
    else work.set(`outbox ${entry.outboxId}`, workItem({ case: 'outbox', value: entry }));
  }
  if (work.size > 0) waits.push(RETRY_MS);
  return { work, nextMs: waits.length === 0 ? undefined : Math.min(...waits) };
}

const workItem = (work: NonNullable<MessageInitShape<typeof WorkItemSchema>['work']>): WorkItem =>
  create(WorkItemSchema, { work });
