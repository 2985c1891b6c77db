import { Counter, Gauge } from 'prom-client';
import { reasonOf } from '@agentx/service-kit';
import type { Metrics } from '@agentx/service-kit';
import type { SessionStore } from './store/store.ts';

/** The same store, counted: leases, refused writes, the outbox, and who follows. Nothing is asked of the database for it. */
export function countSessionStore(
  store: SessionStore,
  { registry }: Pick<Metrics, 'registry'>,
): SessionStore {
  const registers = [registry];
  const leases = new Counter({
    name: 'agentx_leases_acquired_total',
    help: 'Leases given out by this process: to begin a turn, or to take over one whose engine was gone.',
    labelNames: ['how'],
    registers,
  });
  const fenced = new Counter({
    name: 'agentx_fenced_writes_total',
    help: 'Writes that were refused because their lease had gone to another engine.',
    labelNames: ['method'],
    registers,
  });
  const written = new Counter({
    name: 'agentx_outbox_written_total',
    help: 'Outbox entries that this process has written.',
    registers,
  });
  const acknowledged = new Counter({
    name: 'agentx_outbox_acknowledged_total',
    help: 'Outbox entries whose delivery was acknowledged to this process.',
    registers,
  });
  const followers = new Gauge({
    name: 'agentx_log_followers',
    help: 'Streams that wait for new events of a log.',
    registers,
  });
  const watchers = new Gauge({
    name: 'agentx_work_watchers',
    help: 'Engines that wait for work at this process.',
    registers,
  });

  for (const how of ['begin', 'takeover']) leases.inc({ how }, 0);
  const begun = leases.labels({ how: 'begin' });
  const takenOver = leases.labels({ how: 'takeover' });

  async function fencedWrite<T>(method: string, write: Promise<T>): Promise<T> {
    try {
      return await write;
    } catch (error) {
      if (reasonOf(error) === 'FENCED') fenced.inc({ method });
      throw error;
    }
  }

  return {
    ...store,
    beginTurn: async (tenantId, request) => {
      const response = await store.beginTurn(tenantId, request);
      if (response.outcome.case === 'begun') begun.inc();
      return response;
    },
    acquireLease: async (tenantId, request) => {
      const response = await store.acquireLease(tenantId, request);
      takenOver.inc();
      return response;
    },
    renewLease: (tenantId, request) => fencedWrite('RenewLease', store.renewLease(tenantId, request)),
    commitStep: (tenantId, request) => fencedWrite('CommitStep', store.commitStep(tenantId, request)),
    appendEvents: (tenantId, request) => fencedWrite('AppendEvents', store.appendEvents(tenantId, request)),
    endTurn: async (tenantId, request) => {
      const response = await fencedWrite('EndTurn', store.endTurn(tenantId, request));
      if (!response.alreadyApplied) written.inc();
      return response;
    },
    ackOutbox: async (tenantId, outboxIds) => {
      const removed = await store.ackOutbox(tenantId, outboxIds);
      acknowledged.inc(removed);
      return removed;
    },
    tailEvents: (tenantId, request, signal) => {
      const events = store.tailEvents(tenantId, request, signal);
      return request.follow ? counted(events, followers) : events;
    },
    watchWork: (signal) => counted(store.watchWork(signal), watchers),
  };
}

async function* counted<T>(source: AsyncIterable<T>, gauge: Gauge): AsyncGenerator<T> {
  gauge.inc();
  try {
    yield* source;
  } finally {
    gauge.dec();
  }
}
