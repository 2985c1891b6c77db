import type { DatabaseSync } from 'node:sqlite';
import { closedError, TransactionMisuseError } from '../errors.ts';

/** A work with its own beginning and end; see createTransaction. */
export interface QueuedWork<T> {
  run(): Promise<T>;
  /** Called once when the work is over, however it ended; what it still tries must fail. */
  end(): void;
}

export interface WriteQueue {
  /** True while a group's uncommitted rows could be seen. */
  readonly groupOpen: boolean;
  write<T>(work: QueuedWork<T>): Promise<T>;
  /** Resolves when no group is open; nothing can open one before the next turn of the event loop. */
  settled(): Promise<void>;
  /** Refuses further works and resolves when the last group is through. */
  close(): Promise<void>;
}

interface Entry {
  readonly work: QueuedWork<unknown>;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Bounds how long the event loop stands still for one commit. */
const maxGroupSize = 256;

/**
 * Writes of the same moment share one transaction and so one sync of the disk, which costs more than all their
 * statements. Each runs in a savepoint, so that a work that fails takes nothing of the others with it.
 *
 * @param onGroup called with the number of works that share a transaction
 */
export function createWriteQueue(database: DatabaseSync, onGroup?: (works: number) => void): WriteQueue {
  let waiting: Entry[] = [];
  let open = false;
  let scheduled = false;
  let closed = false;
  const waitingForEnd: (() => void)[] = [];

  const schedule = () => {
    if (scheduled || open || waiting.length === 0) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      void runGroup();
    });
  };

  async function runGroup(): Promise<void> {
    const group = waiting.slice(0, maxGroupSize);
    waiting = waiting.slice(maxGroupSize);
    onGroup?.(group.length);
    open = true;
    const unstarted = await commitGroup(database, group);
    open = false;
    waiting = [...unstarted, ...waiting];
    for (const resume of waitingForEnd.splice(0)) resume();
    schedule();
  }

  const settled = async () => {
    while (open) await new Promise<void>((resolve) => waitingForEnd.push(resolve));
  };

  return {
    get groupOpen() {
      return open;
    },
    write<T>(work: QueuedWork<T>) {
      if (closed) return Promise.reject(closedError());
      return new Promise<T>((resolve, reject) => {
        waiting.push({ work, resolve: resolve, reject });
        schedule();
      });
    },
    settled,
    async close() {
      closed = true;
      while (open || waiting.length > 0) await new Promise<void>((resolve) => waitingForEnd.push(resolve));
    },
  };
}

/** Runs, commits and settles a group. Returns the entries that must run again in another group. */
async function commitGroup(database: DatabaseSync, group: readonly Entry[]): Promise<readonly Entry[]> {
  const done: { entry: Entry; value: unknown }[] = [];
  const rejectDone = (error: unknown) => {
    for (const { entry } of done) entry.reject(error);
  };
  try {
    database.exec('pragma query_only = 0; begin immediate');
  } catch (error) {
    for (const entry of group) entry.reject(error);
    return [];
  }
  const watchdog = startWatchdog();
  try {
    for (const [index, entry] of group.entries()) {
      database.exec('savepoint work');
      try {
        const value = await watchdog.guard(entry.work.run());
        database.exec('release work');
        done.push({ entry, value });
      } catch (error) {
        entry.reject(error);
        if (!database.isTransaction) {
          // SQLite gave up the whole transaction (the disk is full, for example), and what came before with it.
          rejectDone(error);
          return group.slice(index + 1);
        }
        database.exec('rollback to work; release work');
      } finally {
        entry.work.end();
      }
    }
    database.exec('commit');
  } catch (error) {
    if (database.isTransaction) database.exec('rollback');
    rejectDone(error);
    return [];
  } finally {
    watchdog.stop();
    // Between groups there are only reads, and they shall write nothing.
    database.exec('pragma query_only = 1');
  }
  for (const { entry, value } of done) entry.resolve(value);
  return [];
}

interface Watchdog {
  guard<T>(work: Promise<T>): Promise<T>;
  stop(): void;
}

/**
 * A work that awaits only its transaction ends before the event loop turns, because SQLite answers at once. One that
 * is still running then waits for something else, and everybody else waits for it: it fails.
 */
function startWatchdog(): Watchdog {
  let rejectCurrent: ((error: unknown) => void) | undefined;
  let immediate = setImmediate(bark);
  function bark() {
    rejectCurrent?.(
      new TransactionMisuseError(
        'a transaction awaited something else than itself (another transaction or read, a timer, the network or a ' +
          'file): fetch that before, and use only the transaction inside',
      ),
    );
    immediate = setImmediate(bark);
  }
  return {
    guard: (work) =>
      new Promise((resolve, reject) => {
        rejectCurrent = reject;
        work.then(resolve, reject);
      }),
    stop: () => {
      clearImmediate(immediate);
    },
  };
}
