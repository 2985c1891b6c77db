import { setTimeout as delay } from 'node:timers/promises';
import { MikroORM } from '@mikro-orm/core';
import { PostgreSqlDriver } from '@mikro-orm/postgresql';
import { sql } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import type { Database, OpenDatabaseOptions, Transaction } from '../database.ts';
import { closedError, domainErrorOf } from '../errors.ts';
import { createCompiler, createUnconnectedDialect } from '../kysely.ts';
import { createOutcomeRecord } from '../outcome.ts';
import type { OpenTransaction } from '../transaction.ts';
import { createTransaction, statementParts } from '../transaction.ts';
import { connectionInScope, connectionInTransaction } from './connection.ts';
import { postgresErrorKind } from './errors.ts';
import { databaseName, migrate } from './migrate.ts';
import { createPool } from './pool.ts';
import { inTransaction, SessionError, withConnection } from './session.ts';

const defaultPoolSize = 10;
const defaultTimeoutMs = 30_000;
const maxAttempts = 5;

export async function openPostgresDatabase(options: OpenDatabaseOptions): Promise<Database> {
  const { url, name, log } = options;
  const schema = `agentx_${name}`;
  const maxConnections = options.poolSize ?? defaultPoolSize;
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const pool = createPool({ url, maxConnections, connectTimeoutMs: timeoutMs, applicationName: schema, log });
  try {
    const { role, bypasses } = await readRole(pool);
    if (bypasses) log.warn({ role }, BYPASS_WARNING);
    await migrate({ ...options, url: options.directUrl ?? url, schema, serviceRole: role });
  } catch (error) {
    await pool.end();
    throw startErrorOf(error);
  }
  options.observer?.pooled(() => ({
    open: pool.totalCount,
    idle: pool.idleCount,
    waiting: pool.waitingCount,
  }));
  const orm = await MikroORM.init({
    driver: PostgreSqlDriver,
    dbName: databaseName(url),
    schema,
    driverOptions: createUnconnectedDialect('postgresql'),
    entities: [...options.entities],
    discovery: { warnWhenNoEntities: false },
    ensureDatabase: false,
    logger: (message) => log.debug(message),
  });
  return createDatabase(pool, orm, schema, timeoutMs);
}

const BYPASS_WARNING =
  'the database role is a superuser or has BYPASSRLS: row-level security does not hold for it, and only the conditions ' +
  'of the queries keep tenants apart; connect as a role without these rights';

/** The role that the service works as, and whether row-level security passes it by. */
async function readRole(pool: Pool): Promise<{ role: string; bypasses: boolean }> {
  const { rows } = await pool.query<{ role: string; bypasses: boolean }>(
    'select rolname as role, rolsuper or rolbypassrls as bypasses from pg_roles where rolname = current_user',
  );
  const [row] = rows;
  if (row === undefined) throw new Error('the database knows no role of the current user');
  return row;
}

function createDatabase(pool: Pool, orm: MikroORM, schema: string, timeoutMs: number): Database {
  const parts = { dialect: 'postgresql', orm, schema, compiler: createCompiler('postgresql') } as const;
  const outcome = createOutcomeRecord(() => database.read({ sweeper: true }, (tx) => tx.rows(sql`select 1`)));
  let closing: Promise<void> | undefined;
  const running = new Set<Promise<unknown>>();
  async function close(): Promise<void> {
    // The pool itself waits for connections in use only, and forgets who waits for one.
    await Promise.allSettled(running);
    await pool.end();
    outcome.close();
    await orm.close();
  }

  /** One attempt on a connection: what comes out is the error of the work, or that of the database in our words. */
  async function run<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    if (closing !== undefined) throw closedError();
    const result = withConnection(pool, timeoutMs, work);
    running.add(result);
    try {
      const value = await result;
      outcome.succeeded();
      return value;
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      outcome.failed(error.kind, error.cause);
      if (error.kind === 'retryable') throw error;
      throw domainErrorOf(error.kind, error.cause);
    } finally {
      running.delete(result);
    }
  }

  const database: Database = {
    dialect: 'postgresql',
    transaction: (scope, work) =>
      retried(() =>
        run((client) =>
          inTransaction(client, scope, () =>
            runWork(createTransaction(parts, connectionInTransaction(client)), work),
          ),
        ),
      ),
    statement: (scope, build) => {
      const { sql: text, parameters } = build(statementParts(parts)).compile(parts.compiler);
      return retried(() => run((client) => connectionInScope(client, scope).rows(text, parameters))) as never;
    },
    read: (scope, work) =>
      run((client) => runWork(createTransaction(parts, connectionInScope(client, scope)), work)),
    get lastOutcome() {
      return outcome.last;
    },
    onOutcomeChange: outcome.onChange,
    close: () => (closing ??= close()),
    [Symbol.asyncDispose]: () => database.close(),
  };
  return database;
}

async function runWork<T>(transaction: OpenTransaction, work: (tx: Transaction) => Promise<T>): Promise<T> {
  try {
    const value = await work(transaction.tx);
    await transaction.flush();
    return value;
  } finally {
    transaction.end();
  }
}

/** Why the data cannot be used from the start, for the person who starts the process. */
function startErrorOf(error: unknown): unknown {
  const kind = postgresErrorKind(error, false);
  return kind === 'other' ? error : domainErrorOf(kind, error);
}

/** Repeats what the server rolled back only because of others: deadlocks and serialization failures. */
async function retried<T>(attempt: () => Promise<T>): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof SessionError)) throw error;
      if (attempts === maxAttempts) throw domainErrorOf(error.kind, error.cause);
      await delay(Math.random() * 10 * 2 ** attempts);
    }
  }
}
