/** What the lines of a user's message ask of the simulated model. */
export interface Directives {
  /** The lines that are no directive, joined; may be empty. */
  readonly said: string;
  /** Of the `!bash` lines, in order. */
  readonly commands: readonly string[];
  /** Of the `!think` lines, joined; may be empty. */
  readonly thought: string;
  /** Of the last `!stream` line. */
  readonly pace: { readonly deltas: number; readonly intervalMs: number } | undefined;
  /** What is wrong with lines that begin like a directive and are none. */
  readonly mistakes: readonly string[];
}

const MAX_DELTAS = 100_000;
const MAX_INTERVAL_MS = 60_000;

/** Reads the directives of {@link createSimulatedDriver}. */
export function readDirectives(text: string): Directives {
  const said: string[] = [];
  const commands: string[] = [];
  const thoughts: string[] = [];
  const mistakes: string[] = [];
  let pace: Directives['pace'];
  for (const line of text.split(/\r?\n/)) {
    const match = /^!(bash|think|stream)(?:\s+(.*))?$/.exec(line.trim());
    if (!match) {
      said.push(line);
      continue;
    }
    const argument = match[2] ?? '';
    if (match[1] === 'stream') {
      const read = readPace(argument);
      if (read) pace = read;
      else mistakes.push(`"${line.trim()}" should be !stream N MS: N from 1 to 100000, MS from 0 to 60000.`);
    } else if (argument === '') {
      mistakes.push(`"${line.trim()}" should be ${match[1] === 'bash' ? '!bash COMMAND' : '!think TEXT'}.`);
    } else if (match[1] === 'bash') {
      commands.push(argument);
    } else {
      thoughts.push(argument);
    }
  }
  return { said: said.join('\n').trim(), commands, thought: thoughts.join('\n'), pace, mistakes };
}

function readPace(argument: string): Directives['pace'] {
  const match = /^(\d{1,6})\s+(\d{1,5})$/.exec(argument);
  const deltas = Number(match?.[1] ?? 0);
  const intervalMs = Number(match?.[2] ?? 0);
  const isValid = deltas >= 1 && deltas <= MAX_DELTAS && intervalMs <= MAX_INTERVAL_MS;
  return isValid ? { deltas, intervalMs } : undefined;
}
