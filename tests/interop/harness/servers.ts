import { agentxEnvironment, freePort, startProcess, temporaryFolder } from '@agentx/testing';
import type { RunningProcess } from '@agentx/testing';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** A process of AgentX that serves calls. */
export interface Server {
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly process: RunningProcess;
}

/** The three stores, and engines on demand, each a process. */
export interface Services extends AsyncDisposable {
  readonly session: Server;
  readonly stats: Server;
  readonly state: Server;
  /** Starts an engine on these stores; all engines share one folder of projects. */
  startEngine(engineId: string): Promise<Server>;
}

/** Starts the stores. They, and the engines, end in order when it is disposed. */
export async function startServices(databaseUrl?: string): Promise<Services> {
  await using ends = new AsyncDisposableStack();
  const folder = ends.use(await temporaryFolder('agentx-interop-'));
  const start = async (owner: AsyncDisposableStack, name: string, env: Record<string, string>) => {
    const server = await startServer(name, `services/${name}/src/main.ts`, env);
    owner.use(server.process);
    return server;
  };
  const database = { AGENTX_DATABASE_URL: databaseUrl ?? `sqlite:${join(folder.path, 'data')}` };
  const session = await start(ends, 'session-store', database);
  const stats = await start(ends, 'stats-store', database);
  const state = await start(ends, 'state-store', database);
  const owned = ends.move();
  const startEngine = (engineId: string) =>
    start(owned, 'engine', {
      AGENTX_ENGINE_ID: engineId,
      AGENTX_SESSION_STORE_URL: `ipv4:${session.address}`,
      AGENTX_STATS_STORE_URL: `ipv4:${stats.address}`,
      AGENTX_STATE_STORE_URL: `ipv4:${state.address}`,
      AGENTX_WORKSPACE_ROOT: join(folder.path, 'workspaces'),
      AGENTX_AUTO_CREATE_AGENTS: 'true',
      AGENTX_PROVIDER: 'simulated',
    });
  return { session, stats, state, startEngine, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function startServer(name: string, main: string, env: Record<string, string>): Promise<Server> {
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  const process_ = await startProcess({
    name: env['AGENTX_ENGINE_ID'] ?? name,
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', main],
    cwd: root,
    env: agentxEnvironment({ AGENTX_LISTEN: address, ...env }),
    ready: { probe: () => accepts(port) },
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 30_000,
  });
  return { address, process: process_ };
}

/** Whether something listens on a port of this machine. */
async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
