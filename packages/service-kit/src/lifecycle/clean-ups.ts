import type { Logger } from '../logging/index.ts';

/** What `defer` may be told about a clean-up. */
export interface DeferOptions {
  /** Name in the log. Default: the function's. */
  readonly name?: string;
  /** How long it may take, in milliseconds. Default: 5000. */
  readonly timeoutMs?: number;
}

interface CleanUp {
  readonly name: string;
  readonly timeoutMs: number;
  readonly run: () => unknown;
}

const late = Symbol('late');

/** Clean-ups of a program: run once, in reverse order, each bounded in time. */
export interface CleanUps {
  add(cleanUp: () => unknown, options?: DeferOptions): void;
  /** Runs and forgets all that were added. Never rejects; resolves to false when one failed or took too long. */
  run(log: Logger): Promise<boolean>;
}

async function runOne({ name, timeoutMs, run }: CleanUp, log: Logger): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<typeof late>((resolve) => (timer = setTimeout(resolve, timeoutMs, late)));
  try {
    const result = await Promise.race([Promise.resolve().then(run), timeUp]);
    if (result === late) log.error({ cleanUp: name, timeoutMs }, 'clean-up took too long and was left');
    return result !== late;
  } catch (err) {
    log.error({ err, cleanUp: name }, 'clean-up failed');
    return false;
  } finally {
    clearTimeout(timer);
  }
}

/** Creates an empty list of clean-ups. */
export function createCleanUps(): CleanUps {
  const stack: CleanUp[] = [];
  return {
    add(run, options = {}) {
      const name = options.name ?? (run.name || 'unnamed');
      stack.push({ name, timeoutMs: options.timeoutMs ?? 5000, run });
    },
    async run(log) {
      let ok = true;
      for (let next = stack.pop(); next; next = stack.pop()) ok = (await runOne(next, log)) && ok;
      return ok;
    },
  };
}
