import type { DriverErrorKind } from '../errors.ts';

/** What the operating system says about a connection that cannot be made or is lost. */
const systemCodes = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
]);

// SQLSTATE codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
const kinds: Readonly<Record<string, DriverErrorKind>> = {
  '23505': 'unique',
  '25006': 'unavailable', // read only: a standby after a failover
  '25P03': 'unavailable', // idle in a transaction for too long
  '25P04': 'unavailable', // a transaction took too long
  '40001': 'retryable', // serialization failure
  '40003': 'unavailable', // statement completion unknown
  '40P01': 'retryable', // deadlock
  '53000': 'unavailable',
  '53100': 'full', // disk full
  '53200': 'unavailable', // out of memory
  '53300': 'unavailable', // too many connections
  '53400': 'unavailable',
  '55P03': 'unavailable', // lock not available in time
  '57014': 'unavailable', // cancelled: statement_timeout
  '57P01': 'unavailable', // shutdown by the administrator
  '57P02': 'unavailable', // crash shutdown
  '57P03': 'unavailable', // starting up
  '57P05': 'unavailable', // idle for too long
  '58000': 'unavailable',
  '58030': 'unavailable', // I/O error
};

/** `lost`: whether the connection was lost while the error arose. */
export function postgresErrorKind(error: unknown, lost: boolean): DriverErrorKind {
  const code = errorCode(error);
  if (code === undefined) return lost ? 'unavailable' : 'other';
  if (systemCodes.has(code) || code.startsWith('08')) return 'unavailable';
  return kinds[code] ?? 'other';
}

function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
