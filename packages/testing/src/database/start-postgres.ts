import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { FoundPart } from '../infra/parts.ts';
import { requirePart } from '../infra/parts.ts';
import { run } from '../infra/run.ts';
import { freePort } from '../processes/free-port.ts';
import { processFamily, signalProcess } from '../processes/process-family.ts';
import { startProcess } from '../processes/start-process.ts';
import type { RunningProcess } from '../processes/start-process.ts';
import { temporaryFolder } from '../processes/temporary-folder.ts';
import { ensureTemplate, owner, superuser } from './template.ts';
import { unprivilegedUser } from './unprivileged-user.ts';
import type { User } from './unprivileged-user.ts';

export interface PostgresOptions {
  /**
   * By default commits are synced to the disk, as in production. `false` is faster and still survives a restart of
   * the server, but not of the machine.
   */
  durable?: boolean;
  /** Further settings, as in postgresql.conf: `{ log_statement: 'all' }`. */
  settings?: Readonly<Record<string, string>>;
}

export interface PostgresServer extends AsyncDisposable {
  /** The superuser's, to the database `postgres`. */
  readonly url: string;
  /** On 127.0.0.1; stays the same over restarts. */
  readonly port: number;
  /** Of the server's main process; changes with each restart. */
  readonly pid: number;
  /**
   * Creates an empty database and returns the URL of its owner, who is no superuser.
   * `name`: lower-case letters, digits and underscores; by default a new one.
   */
  createDatabase(name?: string): Promise<string>;
  /**
   * Stops the server and starts it again on the same port and data. `fast` (the default) ends open connections and
   * shuts down in order; `immediate` is a crash: the server recovers from its log when it starts.
   */
  restart(mode?: 'fast' | 'immediate'): Promise<void>;
  /** Stops all the server's processes where they are (SIGSTOP): connections stay open and get no answer. */
  freeze(): void;
  /** Lets a frozen server go on. */
  thaw(): void;
  /** Ends the server and removes its data. May be called twice. */
  stop(): Promise<void>;
}

const portAttempts = 5;

/**
 * Starts a PostgreSQL server of its own, in a temporary folder, on a free port of 127.0.0.1. It ends with this
 * process at the latest, even if this process is killed. Throws when PostgreSQL is missing, saying how to get it.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<PostgresServer> {
  const [postgres, user] = await Promise.all([requirePart('postgres'), unprivilegedUser()]);
  const template = await ensureTemplate(postgres, user);
  const folder = await temporaryFolder('agentx-pg-');
  try {
    const data = join(folder.path, 'data');
    await run('cp', ['-R', '-p', template.data, data]);
    if (user !== undefined) {
      await run('chown', ['-R', `${user.uid}:${user.gid}`, data]);
      await chown(folder.path, user.uid, user.gid);
    }
    const { server, port } = await startOnFreePort((freePort) =>
      launch(postgres, user, data, freePort, options),
    );
    const relaunch = () => launch(postgres, user, data, port, options);
    return handle(server, relaunch, port, template.password, () => folder.remove());
  } catch (error) {
    await folder.remove();
    throw error;
  }
}

function handle(
  first: RunningProcess,
  relaunch: () => Promise<RunningProcess>,
  port: number,
  password: string,
  removeData: () => Promise<void>,
): PostgresServer {
  let server = first;
  let databases = 0;
  const urlOf = (user: string, database: string) =>
    `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
  const url = urlOf(superuser, 'postgres');
  const stop = async () => {
    server.kill('SIGQUIT');
    await server.stop();
    await removeData();
  };
  return {
    url,
    port,
    get pid() {
      return server.pid;
    },
    async createDatabase(name = `agentx_test_${++databases}`) {
      if (!/^[a-z_][a-z0-9_]*$/.test(name)) {
        throw new Error(
          `"${name}" is no name for a database: lower-case letters, digits and underscores only`,
        );
      }
      await execute(url, `create database "${name}" owner "${owner}"`);
      return urlOf(owner, name);
    },
    async restart(mode = 'fast') {
      if (mode === 'immediate') server.kill('SIGQUIT');
      await server.stop();
      server = await relaunch();
    },
    freeze() {
      // The main process first: it can then start no more of them.
      signalProcess(server.pid, 'SIGSTOP');
      for (const pid of processFamily(server.pid)) signalProcess(pid, 'SIGSTOP');
    },
    thaw() {
      for (const pid of processFamily(server.pid)) signalProcess(pid, 'SIGCONT');
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function launch(
  postgres: FoundPart,
  user: User | undefined,
  data: string,
  port: number,
  options: PostgresOptions,
): Promise<RunningProcess> {
  const settings = Object.entries(settingsFor(port, options)).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  return startProcess({
    name: 'postgres',
    command: join(postgres.path, 'postgres'),
    args: ['-D', data, ...settings],
    cwd: data,
    env: { LC_ALL: 'C', TZ: 'UTC' },
    user,
    ready: /database system is ready to accept connections/,
    readyTimeoutMs: 30_000,
    // A fast shutdown, and as the last resort an immediate one: both end all of the server's processes.
    stopSignal: 'SIGINT',
    stopTimeoutMs: 20_000,
    lastSignal: 'SIGQUIT',
  });
}

function settingsFor(
  port: number,
  { durable = true, settings = {} }: PostgresOptions,
): Record<string, string> {
  const notDurable = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' };
  return {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '200',
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(durable ? {} : notDurable),
    ...settings,
  };
}

/** Between the search for a port and the server's start another process may take it: then the next one. */
async function startOnFreePort(
  start: (port: number) => Promise<RunningProcess>,
): Promise<{ server: RunningProcess; port: number }> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return { server: await start(port), port };
    } catch (error) {
      const taken = error instanceof Error && error.message.includes('could not bind IPv4 address');
      if (!taken || attempt === portAttempts) throw error;
    }
  }
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
