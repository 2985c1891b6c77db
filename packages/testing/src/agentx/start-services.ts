import { join } from 'node:path';
import { repositoryRoot } from '../infra/paths.ts';
import { freePort } from '../processes/free-port.ts';
import { startProcess } from '../processes/start-process.ts';
import type { RunningProcess } from '../processes/start-process.ts';
import { connectEngine } from './engine-client.ts';
import type { EngineClient } from './engine-client.ts';
import { agentxEnvironment, node } from './environment.ts';

/** Port of the engine that `npm run services` starts, before its offset. */
const ENGINE_PORT = 8081;
const ATTEMPTS = 5;

export interface ServicesOptions {
  readonly databaseUrl: string;
  /** Folder for the agents' project folders. */
  readonly folder: string;
  /** Further variables, for example `ANTHROPIC_API_KEY`. */
  readonly env?: NodeJS.ProcessEnv;
}

/** The engine and the three stores as four processes. */
export interface Services extends AsyncDisposable {
  readonly process: RunningProcess;
  readonly url: string;
  /** A gRPC client of its own. */
  readonly engine: EngineClient;
  stop(): Promise<void>;
}

/** Starts what `npm run services` starts, on free ports, and waits until the engine serves. */
export async function startServices({ databaseUrl, folder, env }: ServicesOptions): Promise<Services> {
  const { process, url } = await onFreePorts((offset) =>
    startProcess({
      name: 'services',
      command: node,
      args: ['--disable-warning=ExperimentalWarning', 'scripts/services.ts', '--port-offset', String(offset)],
      cwd: repositoryRoot,
      env: agentxEnvironment({
        AGENTX_DATABASE_URL: databaseUrl,
        AGENTX_WORKSPACE_ROOT: join(folder, 'workspaces'),
        ...env,
      }),
      ready: /AgentX engine \S+ on http/,
      readyTimeoutMs: 45_000,
      stopTimeoutMs: 20_000,
    }),
  );
  const { engine, close } = connectEngine(url);
  const stop = async () => {
    close();
    await process.stop();
  };
  return { process, url, engine, stop, [Symbol.asyncDispose]: stop };
}

/** Only the engine's port is known to be free: where another process has one of the stores', the next offset is tried. */
async function onFreePorts(start: (offset: number) => Promise<RunningProcess>) {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      return { process: await start(port - ENGINE_PORT), url: `http://127.0.0.1:${port}` };
    } catch (error) {
      const taken = error instanceof Error && error.message.includes('is taken by another process');
      if (!taken || attempt === ATTEMPTS) throw error;
    }
  }
}
