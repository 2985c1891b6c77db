import type { SerializedError } from './serialize-error.ts';

const levels = new Map<unknown, string>(
  Object.entries({ trace: 90, debug: 90, info: 32, warn: 33, error: 31, fatal: 31 }).map(([name, colour]) => [
    name,
    `\u001b[${colour}m${name.padEnd(5)}\u001b[0m`,
  ]),
);

function errorLines(error: SerializedError): string {
  const head = error.stack ?? `${error.type}: ${error.message}`;
  return error.cause ? `${head}\ncaused by ${errorLines(error.cause)}` : head;
}

/** A JSON log line as a person reads it on a terminal: time, level, message, the rest as key=value, errors below. */
export function readableLine(line: string): string {
  const { time, level, name: _name, msg, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const clock = typeof time === 'string' ? time.slice(11, 23) : '';
  const pairs = Object.entries(rest).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  const head = [
    clock,
    levels.get(level) ?? String(level),
    ...(typeof msg === 'string' ? [msg] : []),
    ...pairs,
  ];
  const below = typeof err === 'object' && err !== null ? `\n${errorLines(err as SerializedError)}` : '';
  return `${head.join(' ')}${below}\n`;
}
