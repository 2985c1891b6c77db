import type { Program } from '../env/index.ts';
import { variables } from '../env/index.ts';
import type { Logger, LogLevel } from '../logging/index.ts';
import { createLogger, redactText } from '../logging/index.ts';
import { startTracing } from '../telemetry/start-tracing.ts';
import type { DeferOptions } from './clean-ups.ts';
import { createCleanUps } from './clean-ups.ts';
import { describeStartFailure } from './start-error.ts';

/** A program's life as its main function sees it. */
export interface Lifecycle {
  /** Aborts when the program is to end: SIGINT, SIGTERM, `end`, or an error that nobody caught. */
  readonly signal: AbortSignal;
  /** The program's logger; its level is AGENTX_LOG_LEVEL. */
  readonly log: Logger;
  /** Adds a clean-up. They run when the program ends, also when it could not start; the last added runs first. */
  defer(cleanUp: () => unknown, options?: DeferOptions): void;
  /** Calls back at once when the program is to end, before any clean-up: the place to stop saying "ready". */
  onShutdown(callback: () => void): void;
  /** Ends the program in good order. With an error it exits with 1. */
  end(error?: unknown): void;
}

/** The parts of `process` that a program's life depends on. */
export interface ProcessLike {
  readonly env: NodeJS.ProcessEnv;
  readonly stderr: { write(text: string): unknown };
  on(event: string, listener: (argument: unknown) => void): unknown;
  off(event: string, listener: (argument: unknown) => void): unknown;
  exit(code: number): unknown;
}

/** How long a main function that is still starting may take to notice that the program is to end. */
const startGraceMs = 5000;

function logLevel(env: NodeJS.ProcessEnv): LogLevel {
  // A wrong level is reported by readEnv; until then lines are written as by default.
  try {
    return variables.AGENTX_LOG_LEVEL.kind.parse(env.AGENTX_LOG_LEVEL ?? 'info');
  } catch {
    return 'info';
  }
}

async function settled(work: Promise<unknown>, withinMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise((resolve) => (timer = setTimeout(resolve, withinMs)));
  await Promise.race([work.catch(() => undefined), timeUp]);
  clearTimeout(timer);
}

/**
 * Runs a program: calls `main`, waits until the program is to end, runs the clean-ups, exits.
 *
 * `main` starts everything and returns. Exit codes: 0 after a signal, 1 when it could not start or something
 * failed, 2 when the environment is wrong, 130 when a second signal came while it was ending.
 */
export async function runProgram(
  name: Program,
  main: (life: Lifecycle) => Promise<void>,
  host: ProcessLike = process,
): Promise<void> {
  const log = createLogger({ name, level: logLevel(host.env) });
  const cleanUps = createCleanUps();
  const ending = new AbortController();
  let exitCode = 0;

  const end = (error?: unknown) => {
    if (error !== undefined) exitCode = 1;
    ending.abort();
  };
  const onSignal = (signal: unknown) => {
    if (ending.signal.aborted) {
      log.warn({ signal }, 'second signal: exiting at once');
      host.exit(130);
      return;
    }
    log.info({ signal }, 'ending');
    end();
  };
  const onUncaught = (err: unknown) => {
    log.fatal({ err }, 'an error that nobody caught');
    end(err);
  };
  const life: Lifecycle = {
    signal: ending.signal,
    log,
    defer: (cleanUp, options) => cleanUps.add(cleanUp, options),
    onShutdown(callback) {
      if (ending.signal.aborted) callback();
      else ending.signal.addEventListener('abort', callback, { once: true });
    },
    end(error) {
      if (error !== undefined) log.error({ err: error }, 'ending because of an error');
      end(error);
    },
  };
  const listeners = [
    ['SIGINT', onSignal],
    ['SIGTERM', onSignal],
    ['unhandledRejection', onUncaught],
    ['uncaughtException', onUncaught],
  ] as const;
  for (const [event, listener] of listeners) host.on(event, listener);

  const started = startTracing(name, host.env, log).then((stopTracing) => {
    // Added first, so that it comes last.
    if (stopTracing !== undefined) life.defer(stopTracing, { name: 'traces' });
    return main(life);
  });
  const ended = new Promise<void>((resolve) => {
    if (ending.signal.aborted) resolve();
    ending.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const failed = started.then(
    () => ended,
    (error: unknown) => {
      // What fails because the program is ending is no failure to start.
      if (ending.signal.aborted) return;
      const failure = describeStartFailure(name, error);
      if (failure.text !== undefined) host.stderr.write(`${redactText(failure.text)}\n`);
      else log.fatal({ err: error }, 'cannot start');
      exitCode = failure.exitCode;
      ending.abort();
    },
  );
  await Promise.race([ended, failed]);
  await settled(started, startGraceMs);
  const clean = await cleanUps.run(log);
  for (const [event, listener] of listeners) host.off(event, listener);
  host.exit(exitCode === 0 && !clean ? 1 : exitCode);
}
