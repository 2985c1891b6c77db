import pg from 'pg';
import type { Scope } from '../database.ts';

/**
 * How PostgreSQL is told who uses it: the policies of row-level security compare rows with these settings. Always
 * set for one transaction only (the third argument of `set_config`), so that a pooler may hand the connection on.
 */
export const TENANT_SETTING = 'agentx.tenant_id';
export const SWEEPER_SETTING = 'agentx.sweeper';

/** A setting and its value; undefined: nobody, who sees nothing. */
type Setting = readonly [name: string, value: string];

function settingOf(scope: Scope): Setting {
  if ('sweeper' in scope) return [SWEEPER_SETTING, 'on'];
  const { tenantId } = scope;
  if (tenantId === '' || tenantId.includes('\0')) {
    throw new TypeError('the tenant of a use of the database must not be empty or hold NUL');
  }
  return [TENANT_SETTING, tenantId];
}

/** Begins a transaction in a scope: one message, one round trip. */
export function beginText(scope: Scope): string {
  const [name, value] = settingOf(scope);
  return `begin; select set_config(${pg.escapeLiteral(name)}, ${pg.escapeLiteral(value)}, true)`;
}

export interface ScopedResult {
  readonly rows: Record<string, unknown>[];
  readonly rowCount: number | null;
}

/**
 * Runs one statement in a scope and in a transaction of its own. The setting is sent ahead of the statement in the same
 * message: between two synchronisation points of the protocol PostgreSQL keeps everything in one transaction.
 */
export function queryScoped(
  client: pg.ClientBase,
  scope: Scope,
  text: string,
  values: readonly unknown[],
): Promise<ScopedResult> {
  const setting = settingOf(scope);
  return new Promise((resolve, reject) => {
    client.query(
      new ScopedQuery(setting, { text, values: [...values] }, (error, result) => {
        if (error) reject(error);
        else resolve(result);
      }),
    );
  });
}

/** What a connection tells the query that it runs. */
interface QueryHandlers {
  submit(connection: pg.Connection): unknown;
  handleRowDescription(message: unknown): void;
  handleDataRow(message: unknown): void;
  handleCommandComplete(message: unknown, connection: pg.Connection): void;
  handleEmptyQuery(connection: pg.Connection): void;
  handlePortalSuspended(connection: pg.Connection): void;
  handleError(error: Error, connection: pg.Connection): void;
  handleReadyForQuery(connection: pg.Connection): void;
  handleCopyInResponse(connection: pg.Connection): void;
  handleCopyData(message: unknown, connection: pg.Connection): void;
}

/** The parts of a connection that its types call by more arguments than it takes. */
interface Sender {
  parse(query: { text: string }): void;
  bind(config: { values: readonly string[] }): void;
  execute(config: object): void;
}

type Callback = (error: Error | null | undefined, result: ScopedResult) => void;

/** A query of the driver with the setting before it, whose own answer (one row, one completion) is passed over. */
class ScopedQuery implements QueryHandlers {
  /** The connection reads and wraps it. */
  callback: Callback;
  readonly #setting: Setting;
  readonly #query: QueryHandlers;
  #isSet = false;

  constructor(setting: Setting, config: { text: string; values: unknown[] }, callback: Callback) {
    this.#setting = setting;
    this.callback = callback;
    // Without parameters the driver would use the simple protocol, whose message is a transaction by itself.
    const extended = { ...config, queryMode: 'extended' };
    this.#query = new pg.Query(extended, (error: Error | undefined, result: ScopedResult) =>
      this.callback(error, result),
    ) as unknown as QueryHandlers;
  }

  /** Where the driver looks for the parsers of the connection's types. */
  get _result(): unknown {
    return (this.#query as unknown as { readonly _result: unknown })._result;
  }

  submit(connection: pg.Connection): unknown {
    const sender = connection as unknown as Sender;
    connection.stream.cork();
    try {
      sender.parse({ text: 'select set_config($1, $2, true)' });
      sender.bind({ values: this.#setting });
      sender.execute({});
      return this.#query.submit(connection);
    } finally {
      connection.stream.uncork();
    }
  }

  handleDataRow(message: unknown): void {
    if (this.#isSet) this.#query.handleDataRow(message);
  }

  handleCommandComplete(message: unknown, connection: pg.Connection): void {
    if (this.#isSet) this.#query.handleCommandComplete(message, connection);
    this.#isSet = true;
  }

  handleRowDescription(message: unknown): void {
    this.#query.handleRowDescription(message);
  }

  handleEmptyQuery(connection: pg.Connection): void {
    this.#query.handleEmptyQuery(connection);
  }

  handlePortalSuspended(connection: pg.Connection): void {
    this.#query.handlePortalSuspended(connection);
  }

  handleError(error: Error, connection: pg.Connection): void {
    this.#query.handleError(error, connection);
  }

  handleReadyForQuery(connection: pg.Connection): void {
    this.#query.handleReadyForQuery(connection);
  }

  handleCopyInResponse(connection: pg.Connection): void {
    this.#query.handleCopyInResponse(connection);
  }

  handleCopyData(message: unknown, connection: pg.Connection): void {
    this.#query.handleCopyData(message, connection);
  }
}
