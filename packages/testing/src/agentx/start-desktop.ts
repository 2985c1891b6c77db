import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '../infra/paths.ts';
import { freePort } from '../processes/free-port.ts';
import { startProcess } from '../processes/start-process.ts';
import type { Exit, RunningProcess } from '../processes/start-process.ts';
import { connectEngine } from './engine-client.ts';
import type { EngineClient } from './engine-client.ts';
import { agentxEnvironment, node } from './environment.ts';

export interface DesktopOptions {
  /** Folder for everything that the process keeps. The same folder again: the same data. */
  readonly folder: string;
  /** Default: a free one. */
  readonly port?: number;
  /** Further variables, for example `ANTHROPIC_API_KEY`. */
  readonly env?: NodeJS.ProcessEnv;
}

/** A desktop process: engine and stores in one, on SQLite. */
export interface Desktop extends AsyncDisposable {
  readonly process: RunningProcess;
  readonly port: number;
  readonly url: string;
  /** A gRPC client of its own. */
  readonly engine: EngineClient;
  /** The folder of the three databases. */
  readonly databases: string;
  readonly workspaces: string;
  /** An agent's project folder. */
  project(agentId: string): string;
  /** Ends the process at once and unprepared (SIGKILL); what it started is left to itself. */
  kill(): Promise<Exit>;
  /** Ends it politely. May be called twice. */
  stop(): Promise<Exit>;
}

/** The environment and command line of a desktop process, for tests that start one that is to fail. */
export function desktopCommand({ folder, port, env }: DesktopOptions & { readonly port: number }) {
  return {
    name: 'desktop',
    command: node,
    args: ['--disable-warning=ExperimentalWarning', 'desktop/src/main.ts'],
    cwd: repositoryRoot,
    env: agentxEnvironment({
      AGENTX_LISTEN: `127.0.0.1:${port}`,
      AGENTX_DATABASE_URL: `sqlite:${join(folder, 'databases')}`,
      AGENTX_WORKSPACE_ROOT: join(folder, 'workspaces'),
      AGENTX_ENGINE_ID: 'desktop',
      ...env,
    }),
  };
}

/** Starts a desktop process and waits until it serves. */
export async function startDesktop(options: DesktopOptions): Promise<Desktop> {
  const port = options.port ?? (await freePort());
  await mkdir(options.folder, { recursive: true });
  const process = await startProcess({
    ...desktopCommand({ ...options, port }),
    ready: /AgentX on http/,
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 15_000,
  });
  const url = `http://127.0.0.1:${port}`;
  const { engine, close } = connectEngine(url);
  const workspaces = join(options.folder, 'workspaces');
  const stop = async () => {
    close();
    return process.stop();
  };
  return {
    process,
    port,
    url,
    engine,
    databases: join(options.folder, 'databases'),
    workspaces,
    project: (agentId) => join(workspaces, agentId, 'project'),
    kill: async () => {
      process.kill('SIGKILL');
      const exit = await process.exited;
      close();
      return exit;
    },
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
    },
  };
}
