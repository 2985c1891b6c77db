import type { DriverErrorKind } from '../errors.ts';

// The primary result codes of SQLite that concern operation: https://www.sqlite.org/rescode.html
const busy = 5;
const locked = 6;
const ioError = 10;
const full = 13;
const cannotOpen = 14;
const uniqueCodes = new Set([1555, 2067, 2579]);

/** Whether an error came from SQLite saying that another connection holds a lock. */
export function isBusy(error: unknown): boolean {
  const code = errorCode(error);
  return code !== undefined && primary(code) === busy;
}

export function sqliteErrorKind(error: unknown): DriverErrorKind {
  const code = errorCode(error);
  if (code === undefined) return 'other';
  if (uniqueCodes.has(code)) return 'unique';
  switch (primary(code)) {
    case busy:
    case locked:
    case ioError:
    case cannotOpen:
      return 'unavailable';
    case full:
      return 'full';
    default:
      return 'other';
  }
}

function primary(code: number): number {
  return code & 0xff;
}

function errorCode(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}
