import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, processFamily, signalProcess } from './process-family.ts';

/**
 * Ends a process and all that belongs to it: sends `signal` to the process, wakes what is stopped (a stopped process
 * acts on no signal but SIGKILL), and once the process has ended, or after `graceMs`, kills whatever is left.
 */
export async function endFamily(root: number, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  // Taken first: the descendants of a process that has ended can no longer be told from others.
  const family = processFamily(root);
  if (signal !== 'SIGKILL' && signalProcess(root, signal)) {
    for (const pid of family) signalProcess(pid, 'SIGCONT');
    const deadline = Date.now() + graceMs;
    while (isRunning(root) && Date.now() < deadline) await sleep(10);
  }
  for (const pid of processFamily(root, ...family)) signalProcess(pid, 'SIGKILL');
}
