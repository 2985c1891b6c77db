import { readdirSync, readFileSync } from 'node:fs';

/** What one tool process, with everything it starts, may use. */
export interface SandboxLimits {
  /** Memory of all processes together (anonymous and shared memory, not the page cache). */
  memoryBytes: number;
  /** Processes at the same time. */
  processes: number;
  /** CPU time of each process. */
  cpuSeconds: number;
  /** Size of each file written. */
  fileBytes: number;
  /** Open files of each process. */
  openFiles: number;
  /** Size of the private `/tmp`, which lives in memory and is gone after the call. */
  temporaryBytes: number;
}

const MIB = 1024 * 1024;

export const defaultSandboxLimits: SandboxLimits = {
  memoryBytes: 2048 * MIB,
  processes: 512,
  cpuSeconds: 3600,
  fileBytes: 8192 * MIB,
  openFiles: 4096,
  temporaryBytes: 512 * MIB,
};

export interface Usage {
  processes: number;
  memoryBytes: number;
}

/**
 * What the PID namespace whose first process is `initPid` uses now; undefined once it is gone.
 *
 * It reads the namespace's own `/proc` through that process's root, so it sees exactly its processes however many the
 * host has. Only valid once the sandbox has changed its root: before that it would count the host.
 */
export function readUsage(initPid: number, limits: SandboxLimits): Usage | undefined {
  const proc = `/proc/${initPid}/root/proc`;
  let pids: string[];
  try {
    pids = readdirSync(proc).filter((name) => /^\d+$/.test(name));
  } catch {
    return undefined;
  }
  // Under a fork bomb the reading itself must stay cheap.
  if (pids.length > limits.processes) return { processes: pids.length, memoryBytes: 0 };
  let kibibytes = 0;
  for (const pid of pids) {
    try {
      const status = readFileSync(`${proc}/${pid}/status`, 'latin1');
      for (const match of status.matchAll(/^Rss(?:Anon|Shmem):\s+(\d+) kB$/gm)) kibibytes += Number(match[1]);
    } catch {
      // It ended since the folder was read.
    }
  }
  return { processes: pids.length, memoryBytes: kibibytes * 1024 };
}

/**
 * Watches a sandbox's processes and calls `onExceeded` once, with the limit that was passed. Returns how to stop.
 *
 * Between two looks (100 ms) a bomb can overshoot: some hundred processes, or some hundred MB. Memory that no process
 * has mapped (a `memfd` that is only written to, detached System V segments) is not seen.
 */
export function watchLimits(
  initPid: number,
  limits: SandboxLimits,
  onExceeded: (limit: 'memory' | 'processes') => void,
): () => void {
  const timer = setInterval(() => {
    const usage = readUsage(initPid, limits);
    if (usage === undefined) return;
    const exceeded =
      usage.processes > limits.processes
        ? 'processes'
        : usage.memoryBytes > limits.memoryBytes
          ? 'memory'
          : undefined;
    if (exceeded === undefined) return;
    clearInterval(timer);
    onExceeded(exceeded);
  }, 100);
  return () => clearInterval(timer);
}
