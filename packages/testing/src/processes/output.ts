import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

const maxLines = 20_000;

/** The lines that a process wrote, the newest 20,000 of each stream. */
export interface Output {
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
  /** The last lines of both streams, as they came. */
  tail(count: number): string;
  /** Calls `seen` with each line written so far and from now on, until the returned function is called. */
  follow(seen: (line: string) => void): () => void;
}

export function collectOutput(stdoutStream: Readable, stderrStream: Readable): Output {
  const stdout: string[] = [];
  const stderr: string[] = [];
  const both: string[] = [];
  const followers = new Set<(line: string) => void>();

  const collect = (stream: Readable, lines: string[]) => {
    createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => {
      keep(lines, line);
      keep(both, line);
      for (const seen of followers) seen(line);
    });
  };
  collect(stdoutStream, stdout);
  collect(stderrStream, stderr);

  return {
    stdout,
    stderr,
    tail: (count) => (both.length === 0 ? '(it wrote nothing)' : both.slice(-count).join('\n')),
    follow(seen) {
      both.forEach(seen);
      followers.add(seen);
      return () => followers.delete(seen);
    },
  };
}

function keep(lines: string[], line: string): void {
  lines.push(line);
  if (lines.length >= 2 * maxLines) lines.splice(0, maxLines);
}
