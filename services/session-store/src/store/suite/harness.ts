/** What the tests of the port share: a database under test, and an engine that writes turns. */
import { create } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import { sql } from 'kysely';
import {
  AddMessageRequestSchema,
  TailEventsRequestSchema,
} from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { createLogger, DomainError, openDatabase, reasonOf } from '@agentx/service-kit';
import type { Database } from '@agentx/service-kit';
import { entities } from '../entities.ts';
import { migrations } from '../migrations/index.ts';
import { createSessionStore } from '../sql-store.ts';
import type { SqlSessionStore } from '../sql-store.ts';

export const log = createLogger({ name: 'session-store', level: 'silent' });

/** Fields of a message as they are written down. */
export type Init<D extends DescMessage> = Exclude<MessageInitShape<D>, MessageShape<D>>;

/** Where a suite gets its databases from. */
export interface TestDatabases {
  /** The URL of a new, empty database. */
  createUrl(): Promise<string>;
  /** How many rounds a race has. */
  readonly raceRounds: number;
  /** How many courses of events are compared with the model. */
  readonly modelRuns: number;
  /** Whether several processes may use one database at once. */
  readonly severalProcesses: boolean;
}

export const openTestDatabase = (url: string): Promise<Database> =>
  openDatabase({ url, name: 'session', entities, migrations, log });

/** A store on a database of its own. */
export interface StoreUnderTest extends AsyncDisposable {
  readonly database: Database;
  readonly store: SqlSessionStore;
}

export async function openStore(databases: TestDatabases): Promise<StoreUnderTest> {
  const database = await openTestDatabase(await databases.createUrl());
  const store = createSessionStore(database, { log });
  return {
    database,
    store,
    [Symbol.asyncDispose]: async () => {
      store.close();
      await database.close();
    },
  };
}

export const userMessage = (agentId: string, text: string, requestId = '') =>
  create(AddMessageRequestSchema, {
    agentId,
    requestId,
    message: {
      body: { case: 'user', value: { content: [{ part: { case: 'text', value: { text } } }] } },
    },
  });

/** Asks for an agent's whole history, as far as one page goes. */
export const allMessages = { agentId: 'agent', beyondPosition: undefined, newestFirst: false, limit: 100 };

export const tailRequest = (over: Init<typeof TailEventsRequestSchema>) =>
  create(TailEventsRequestSchema, over);

/** Lets every lease of a tenant expire, without waiting. */
export const expireLeases = (database: Database, tenantId: string): Promise<void> =>
  database.transaction({ tenantId }, async (tx) => {
    await tx.rows(
      sql`update ${tx.table('lease')} set expires_at_ms = 1 where tenant_id = ${tenantId} and turn_id <> ''`,
    );
  });

const TABLES = ['lease', 'turn', 'message', 'event_batch', 'model_attempt', 'tool_run', 'outbox'] as const;

/** Every row of a tenant, read past the store. */
export async function rowsOf(
  database: Database,
  tenantId: string,
): Promise<Record<(typeof TABLES)[number], Record<string, unknown>[]>> {
  const tables = await database.read({ tenantId }, async (tx) => {
    const found: [string, Record<string, unknown>[]][] = [];
    for (const table of TABLES)
      found.push([
        table,
        await tx.rows(
          sql<Record<string, unknown>>`select * from ${tx.table(table)} where tenant_id = ${tenantId}`,
        ),
      ]);
    return found;
  });
  const inOrder = (rows: Record<string, unknown>[]) =>
    rows.map((row) => ({ row, key: JSON.stringify(row) })).sort((a, b) => (a.key < b.key ? -1 : 1));
  return Object.fromEntries(
    tables.map(([table, rows]) => [table, inOrder(rows).map(({ row }) => row)]),
  ) as Record<(typeof TABLES)[number], Record<string, unknown>[]>;
}

/** The reason that a promise fails with. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return reasonOf(error) ?? String(error);
  }
  return 'not refused';
}

/** A database whose writes are committed and whose answers are lost. */
export function losingAnswers(database: Database): Database {
  const lost = () =>
    new DomainError(Code.Unavailable, 'DATABASE_UNAVAILABLE', 'the database cannot be reached; try again');
  return {
    ...database,
    get lastOutcome() {
      return database.lastOutcome;
    },
    transaction: async (scope, work) => {
      await database.transaction(scope, work);
      throw lost();
    },
    statement: async (scope, build) => {
      await database.statement(scope, build);
      throw lost();
    },
  };
}
