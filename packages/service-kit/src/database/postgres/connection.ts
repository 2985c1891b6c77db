import type { CompiledQuery, DatabaseConnection } from 'kysely';
import type { Kysely } from 'kysely';
import type pg from 'pg';
import type { Scope } from '../database.ts';
import { createKysely } from '../kysely.ts';
import { checkParameters } from '../parameters.ts';
import type { TransactionConnection } from '../transaction.ts';
import { queryScoped } from './scope.ts';
import type { ScopedResult } from './scope.ts';

type RunStatement = (text: string, parameters: readonly unknown[]) => Promise<ScopedResult>;

/** A checked-out connection on which a transaction is open. */
export function connectionInTransaction(client: pg.ClientBase): TransactionConnection {
  return connection((text, parameters) => client.query<Record<string, unknown>>(text, [...parameters]));
}

/** A checked-out connection on which each statement is a transaction of its own. */
export function connectionInScope(client: pg.ClientBase, scope: Scope): TransactionConnection {
  return connection((text, parameters) => queryScoped(client, scope, text, parameters));
}

function connection(run: RunStatement): TransactionConnection {
  let kysely: Kysely<unknown> | undefined;
  return {
    rows: async (text, parameters) => {
      checkParameters(parameters);
      return (await run(text, parameters)).rows;
    },
    kysely: () => (kysely ??= createKysely('postgresql', kyselyConnection(run))),
  };
}

function kyselyConnection(run: RunStatement): DatabaseConnection {
  return {
    async executeQuery({ sql, parameters }: CompiledQuery) {
      const { rows, rowCount } = await run(sql, parameters);
      return { rows: rows as never[], ...(rowCount === null ? {} : { numAffectedRows: BigInt(rowCount) }) };
    },
    streamQuery: () => {
      throw new Error('streaming rows is not supported: page with a limit');
    },
  };
}
