// A process of its own beside a test process: when the test process ends, however it ends, this one's standard input
// reaches its end, and it ends the processes and removes the folders that were in its care.
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { endFamily } from './end-family.ts';

/** One line of JSON on the guardian's standard input. */
export type GuardianOrder =
  | { order: 'guard process'; pid: number; lastSignal: NodeJS.Signals }
  | { order: 'release process'; pid: number }
  | { order: 'guard folder'; path: string }
  | { order: 'release folder'; path: string };

const graceMs = 5_000;
const processes = new Map<number, NodeJS.Signals>();
const folders = new Set<string>();

function obey(order: GuardianOrder): void {
  switch (order.order) {
    case 'guard process':
      processes.set(order.pid, order.lastSignal);
      break;
    case 'release process':
      processes.delete(order.pid);
      break;
    case 'guard folder':
      folders.add(order.path);
      break;
    case 'release folder':
      folders.delete(order.path);
      break;
  }
}

for await (const line of createInterface({ input: process.stdin })) obey(JSON.parse(line) as GuardianOrder);

await Promise.all([...processes].map(([pid, lastSignal]) => endFamily(pid, lastSignal, graceMs)));
await Promise.all([...folders].map((path) => rm(path, { recursive: true, force: true, maxRetries: 5 })));
