import { Code } from '@connectrpc/connect';
import { DomainError } from '../errors.ts';

/** A row with the same unique key is there already. */
export class UniqueViolationError extends Error {
  constructor(cause: unknown) {
    super('a row with this key is there already', { cause });
    this.name = 'UniqueViolationError';
  }
}

/** The transaction was used against its rules; a mistake in the program. */
export class TransactionMisuseError extends Error {
  override readonly name = 'TransactionMisuseError';
}

export type DriverErrorKind = 'unavailable' | 'full' | 'unique' | 'retryable' | 'other';

export function domainErrorOf(kind: DriverErrorKind, cause: unknown): unknown {
  switch (kind) {
    case 'unavailable':
    case 'retryable':
      return new DomainError(
        Code.Unavailable,
        'DATABASE_UNAVAILABLE',
        'the database cannot be reached; try again',
        { cause },
      );
    case 'full':
      return new DomainError(Code.ResourceExhausted, 'DATABASE_FULL', 'the database has no space left', {
        cause,
      });
    case 'unique':
      return new UniqueViolationError(cause);
    case 'other':
      return cause;
  }
}

export function closedError(): DomainError {
  return new DomainError(Code.Unavailable, 'DATABASE_UNAVAILABLE', 'the database is being closed; try again');
}
