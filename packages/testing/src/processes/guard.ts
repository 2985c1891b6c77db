import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { GuardianOrder } from './guardian.ts';

/** Takes something out of the guardian's care; a second call does nothing. */
export type Release = () => void;

/**
 * When this process ends, even by SIGKILL, `pid` gets `lastSignal`, and all that belongs to it is killed once it has
 * ended or after 5 s.
 */
export function guardProcess(pid: number, lastSignal: NodeJS.Signals = 'SIGKILL'): Release {
  return guard({ order: 'guard process', pid, lastSignal }, { order: 'release process', pid });
}

/** When this process ends, even by SIGKILL, the folder is removed, after the guarded processes have ended. */
export function guardFolder(path: string): Release {
  return guard({ order: 'guard folder', path }, { order: 'release folder', path });
}

const guardianPath = fileURLToPath(new URL('./guardian.ts', import.meta.url));
let guardian: Socket | undefined;
let inCare = 0;

function guard(take: GuardianOrder, give: GuardianOrder): Release {
  guardian ??= startGuardian();
  const held = guardian;
  send(held, take);
  inCare += 1;
  let released = false;
  return () => {
    if (released) return;
    released = true;
    send(held, give);
    inCare -= 1;
    if (inCare > 0) return;
    held.end();
    guardian = undefined;
  };
}

function send(held: Socket, order: GuardianOrder): void {
  held.write(`${JSON.stringify(order)}\n`);
}

/** Detached, so that neither Ctrl-C nor a signal to this process's group reaches it. */
function startGuardian(): Socket {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', guardianPath], {
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
    env: {},
    cwd: '/',
  });
  const input = child.stdin;
  if (!(input instanceof Socket)) throw new Error('the guardian cannot be started: it has no standard input');
  // Neither keeps this process alive.
  child.unref();
  input.unref();
  return input;
}
