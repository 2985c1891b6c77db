import { readdirSync, readFileSync } from 'node:fs';

/** Pids of the processes of this machine whose command line holds a text (Linux); arguments are joined by spaces. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandLine(pid).includes(text))
    .map(Number);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    // It has ended since the folder was read.
    return '';
  }
}
