import type { CompiledQuery, DatabaseConnection } from 'kysely';
import type { Kysely } from 'kysely';
import type pg from 'pg';
import { createKysely } from '../kysely.ts';
import { checkParameters } from '../parameters.ts';
import type { TransactionConnection } from '../transaction.ts';

/** A checked-out connection as a transaction's connection. */
export function createPostgresConnection(client: pg.ClientBase): TransactionConnection {
  let kysely: Kysely<unknown> | undefined;
  return {
    rows: (text, parameters) => queryRows(client, text, parameters),
    kysely: () => (kysely ??= createKysely('postgresql', kyselyConnection(client))),
  };
}

export async function queryRows(
  queryable: Pick<pg.Pool, 'query'> | pg.ClientBase,
  text: string,
  parameters: readonly unknown[],
): Promise<unknown[]> {
  checkParameters(parameters);
  const { rows } = await queryable.query<Record<string, unknown>>(text, [...parameters]);
  return rows;
}

function kyselyConnection(client: pg.ClientBase): DatabaseConnection {
  return {
    async executeQuery({ sql, parameters }: CompiledQuery) {
      const { rows, rowCount } = await client.query<Record<string, unknown>>(sql, [...parameters]);
      return { rows: rows as never[], ...(rowCount === null ? {} : { numAffectedRows: BigInt(rowCount) }) };
    },
    streamQuery: () => {
      throw new Error('streaming rows is not supported: page with a limit');
    },
  };
}
