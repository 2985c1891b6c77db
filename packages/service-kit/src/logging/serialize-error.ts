import { inspect } from 'node:util';
import { isError } from './is-error.ts';

/** An error as it stands in a log line. */
export interface SerializedError {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: SerializedError;
  readonly errors?: readonly SerializedError[];
  /** What is known of it besides: code, reason, constraint … */
  readonly [key: string]: unknown;
}

/** Properties that say what happened and never hold what a user wrote. */
const kept = ['code', 'reason', 'errcode', 'syscall', 'address', 'port', 'severity', 'constraint', 'table'];

const maxDepth = 8;

/** Makes an error, its causes and the errors that it gathers plain; anything else that was thrown becomes text. */
export function serializeError(error: unknown, depth = 0): SerializedError {
  if (!isError(error)) {
    return { type: typeof error, message: typeof error === 'string' ? error : inspect(error, { depth: 2 }) };
  }
  const extra = kept.flatMap((key): [string, unknown][] => {
    const value: unknown = Reflect.get(error, key);
    return typeof value === 'string' || typeof value === 'number' ? [[key, value]] : [];
  });
  const deeper = depth < maxDepth;
  return {
    type: error.name,
    message: error.message,
    ...Object.fromEntries(extra),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || !deeper ? {} : { cause: serializeError(error.cause, depth + 1) }),
    ...('errors' in error && Array.isArray(error.errors) && deeper
      ? { errors: error.errors.slice(0, 10).map((inner) => serializeError(inner, depth + 1)) }
      : {}),
  };
}
