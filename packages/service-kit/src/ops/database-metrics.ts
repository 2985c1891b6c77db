import { Counter, Gauge, Histogram } from 'prom-client';
import type { DatabaseObserver, PoolCounts } from '../database/index.ts';
import { reasonOf } from '../errors.ts';
import type { Program } from '../env/index.ts';
import { createMetrics } from './metrics.ts';
import type { Metrics } from './metrics.ts';

/** Seconds; from a statement in memory to the time-out. */
const useBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const groupBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Metrics of the databases of a program; `observe` gives the observer of one by its name. */
export interface DatabaseMetrics {
  observe(database: string): DatabaseObserver;
}

/** What a program with databases counts with. */
export interface StoreMetrics extends Metrics {
  readonly databases: DatabaseMetrics;
}

/** Creates the metrics of a program with databases. */
export function createStoreMetrics(program: Program): StoreMetrics {
  const metrics = createMetrics(program);
  return { ...metrics, databases: createDatabaseMetrics(metrics) };
}

function createDatabaseMetrics({ registry }: Pick<Metrics, 'registry'>): DatabaseMetrics {
  const registers = [registry];
  const pools = new Map<string, () => PoolCounts>();
  const seconds = new Histogram({
    name: 'agentx_database_seconds',
    help: 'Time from when a use of the database was asked for until it was done: durable, for those that write.',
    labelNames: ['database', 'kind'],
    buckets: useBuckets,
    registers,
  });
  const failures = new Counter({
    name: 'agentx_database_failures_total',
    help: 'Uses of the database that it failed, by reason.',
    labelNames: ['database', 'reason'],
    registers,
  });
  const groups = new Histogram({
    name: 'agentx_database_group_works',
    help: 'SQLite: transactions that share one commit.',
    labelNames: ['database'],
    buckets: groupBuckets,
    registers,
  });
  new Gauge({
    name: 'agentx_database_connections',
    help: 'PostgreSQL: connections of the pool that are open, and those of them that are idle.',
    labelNames: ['database', 'state'],
    registers,
    collect() {
      for (const [database, count] of pools) {
        const { open, idle } = count();
        this.set({ database, state: 'open' }, open);
        this.set({ database, state: 'idle' }, idle);
      }
    },
  });
  new Gauge({
    name: 'agentx_database_connections_waiting',
    help: 'PostgreSQL: uses that wait for a connection.',
    labelNames: ['database'],
    registers,
    collect() {
      for (const [database, count] of pools) this.set({ database }, count().waiting);
    },
  });
  return {
    observe(database) {
      const byKind = {
        transaction: seconds.labels({ database, kind: 'transaction' }),
        statement: seconds.labels({ database, kind: 'statement' }),
        read: seconds.labels({ database, kind: 'read' }),
      };
      const ofGroups = groups.labels({ database });
      return {
        used(kind, durationMs, error) {
          byKind[kind].observe(durationMs / 1000);
          const reason = error === undefined ? undefined : reasonOf(error);
          if (reason?.startsWith('DATABASE_')) failures.inc({ database, reason });
        },
        grouped: (works) => {
          ofGroups.observe(works);
        },
        pooled: (count) => {
          pools.set(database, count);
        },
      };
    },
  };
}
