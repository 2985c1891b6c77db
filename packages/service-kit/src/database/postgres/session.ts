import type { Pool, PoolClient } from 'pg';
import { DomainError } from '../../errors.ts';
import type { Scope } from '../database.ts';
import type { DriverErrorKind } from '../errors.ts';
import { postgresErrorKind } from './errors.ts';
import { watchConnection } from './pool.ts';
import { beginText } from './scope.ts';

/** An error with what it means for the caller. */
export class SessionError extends Error {
  readonly kind: DriverErrorKind;

  constructor(kind: DriverErrorKind, cause: unknown) {
    super('the work on a connection failed', { cause });
    this.kind = kind;
  }
}

/**
 * Runs the work on a connection of the pool. Throws SessionError. After `timeoutMs` the connection is cut, which
 * fails whatever waits for it and frees its locks on the server. A connection in doubt never returns to the pool.
 */
export async function withConnection<T>(
  pool: Pool,
  timeoutMs: number,
  work: (client: PoolClient) => Promise<T>,
): Promise<T> {
  const client = await connect(pool);
  const watch = watchConnection(client);
  const deadline = setTimeout(watch.cut, timeoutMs);
  let usable = false;
  try {
    const value = await work(client);
    usable = true;
    return value;
  } catch (error) {
    // What the work itself said stands, even where the connection was lost on top of it.
    const kind = error instanceof DomainError ? 'other' : postgresErrorKind(error, watch.lost);
    usable = kind !== 'unavailable' && !watch.lost;
    throw new SessionError(kind, error);
  } finally {
    clearTimeout(deadline);
    watch.stop();
    client.release(!usable);
  }
}

/** Runs the work between `begin` and `commit`, or `rollback` where it fails. */
export async function inTransaction<T>(client: PoolClient, scope: Scope, work: () => Promise<T>): Promise<T> {
  const begin = beginText(scope);
  let value: T;
  try {
    await client.query(begin);
    value = await work();
  } catch (error) {
    // A connection that is lost or in doubt cannot roll back; it is closed, which does the same.
    if (postgresErrorKind(error, false) !== 'unavailable') await rollback(client);
    throw error;
  }
  const { command } = await client.query('commit');
  // PostgreSQL's answer to a commit after a failed statement.
  if (command !== 'COMMIT')
    throw new Error('a statement of this transaction failed and its error was swallowed');
  return value;
}

async function rollback(client: PoolClient): Promise<void> {
  try {
    await client.query('rollback');
  } catch {
    // The work's error is the one that matters; closing the connection rolls back too.
    void client.end();
  }
}

async function connect(pool: Pool): Promise<PoolClient> {
  try {
    return await pool.connect();
  } catch (error) {
    throw new SessionError(postgresErrorKind(error, true), error);
  }
}
