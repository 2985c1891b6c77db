import { pino } from 'pino';
import { activeTracing } from '../telemetry/tracing.ts';
import { readableLine } from './readable-line.ts';
import { redactLine } from './redact.ts';
import { serializeError } from './serialize-error.ts';

/** A logger: `log.info({ agentId }, 'turn ended')`, errors as `log.error({ err }, 'what failed')`. */
export type Logger = pino.Logger;

export type LogLevel = pino.LevelWithSilent;

export interface LoggerOptions {
  /** Name of the program; in every line. */
  readonly name: string;
  /** Least severe lines that are written. Default: info. */
  readonly level?: LogLevel;
  /** Where lines go. Default: standard error, readable where it is a terminal, else JSON. */
  readonly destination?: { write(line: string): void };
}

function standardError(): { write(line: string): void } {
  // Written at once, so that the last lines of a process that ends are not lost.
  const stream = pino.destination({ fd: 2, sync: true });
  return process.stderr.isTTY ? { write: (line) => void stream.write(readableLine(line)) } : stream;
}

/**
 * Creates a logger that writes JSON lines. Whatever a caller logs, secrets are taken out at this one point: see
 * `registerSecret`, and keys and forms that are known to hold secrets.
 */
export function createLogger(options: LoggerOptions): Logger {
  return pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      base: { name: options.name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError, error: serializeError },
      mixin: () => activeTracing()?.logFields() ?? {},
      hooks: { streamWrite: redactLine },
    },
    options.destination ?? standardError(),
  );
}
