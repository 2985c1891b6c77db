import { durationFromMs, timestampMs } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { TurnWork, WorkItem } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { codeOf, inSpan } from '@agentx/service-kit';
import type { Engine } from './engine.ts';
import { deliver } from './presenters/turn-presenter.ts';
import { actingFor } from './stores.ts';
import { holdLease } from './turn/hold-lease.ts';
import { endOrphan } from './turn/repair.ts';

const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 5000;

/** Does the work that no engine is doing, as the session store tells of it, until the signal aborts. Never rejects. */
export async function watchWork(engine: Engine, signal: AbortSignal): Promise<void> {
  const { parts, engineId, log } = engine.options;
  const isOver = () => signal.aborted;
  let retryMs = FIRST_RETRY_MS;
  while (!isOver()) {
    try {
      for await (const { item } of parts.stores.session.watchWork({ engineId }, { signal })) {
        retryMs = FIRST_RETRY_MS;
        if (item !== undefined) void doWork(engine, item);
      }
    } catch (error) {
      if (isOver()) return;
      log.warn({ err: error }, 'the session store tells of no work, asking again');
    }
    await delay(retryMs, undefined, { signal }).catch(() => undefined);
    retryMs = Math.min(2 * retryMs, LAST_RETRY_MS);
  }
}

/** Never rejects: work that fails is handed out again. */
async function doWork(engine: Engine, { work }: WorkItem): Promise<void> {
  const { parts, log } = engine.options;
  try {
    if (work.case === undefined) return;
    await inSpan(`work ${work.case}`, {}, async () => {
      if (work.case === 'outbox') await deliver(parts.stores, work.value);
      if (work.case === 'turn' && !engine.draining) await takeOrphan(engine, work.value);
    });
  } catch (error) {
    // Another engine was faster.
    if (codeOf(error) === Code.Aborted || codeOf(error) === Code.FailedPrecondition) return;
    log.warn({ err: error, work: work.case }, 'work was left undone; it will be handed out again');
  }
}

async function takeOrphan(engine: Engine, { tenantId, agentId, turnId }: TurnWork): Promise<void> {
  if (engine.running.get(turnId) !== undefined) return;
  const { parts, engineId, leaseTtlMs } = engine.options;
  const heldSinceMs = performance.now();
  const acquired = await parts.stores.session.acquireLease(
    { agentId, turnId, engineId, acquisitionId: randomUUID(), leaseTtl: durationFromMs(leaseTtlMs) },
    actingFor(tenantId),
  );
  const { turn: record, steps } = acquired;
  if (record === undefined) throw new Error('the session store gave a lease without its turn');
  // The turn counts from its start, by the wall clock: the process that counted is gone.
  const createTime = record.turn?.createTime;
  const runningMs = createTime === undefined ? 0 : Math.max(0, Date.now() - timestampMs(createTime));
  const startMs = performance.now() - runningMs;
  await engine.take({ tenantId, record, lease: holdLease(acquired.lease), heldSinceMs, startMs }, (context) =>
    endOrphan(context, steps),
  );
}
