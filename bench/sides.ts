import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startProcess } from '@agentx/testing';
import { MODEL } from './parameters.ts';
import type { Load, LoadResult } from './processes/load.ts';
import { startWorker } from './processes/worker.ts';

/** A load without what the side itself knows. */
export type LoadRequest = Omit<Load, 'target'>;

/** The process that is measured, fresh, and what does turns at it. */
export interface StartedSide {
  /** Of the process that is measured. */
  readonly pid: number;
  /** From its start to the first text of a first turn. */
  readonly firstAnswerMs: number;
  /** Of the users' process, where it is another one. */
  readonly clientPid: number | undefined;
  run(load: LoadRequest): Promise<LoadResult>;
  stop(): Promise<void>;
}

export interface Side {
  readonly name: string;
  /** Starts the process and has it do `first`, a load of one turn. */
  start(first: LoadRequest): Promise<StartedSide>;
}

export function bareSide(modelUrl: string): Side {
  return {
    name: 'bare SDK',
    start: async (first) => {
      const startMs = nowMs();
      const worker = startWorker('../bare-sdk.ts');
      const run = (load: LoadRequest) => worker.run({ ...load, target: modelUrl });
      const { firstTextAtMs } = await run(first);
      return {
        pid: worker.pid,
        firstAnswerMs: firstTextAtMs - startMs,
        clientPid: undefined,
        run,
        stop: () => worker.stop(),
      };
    },
  };
}

const main = fileURLToPath(import.meta.resolve('../desktop/src/main.ts'));

/**
 * The desktop process, with the settings that a user gets, except for the model.
 *
 * @param folder its working folder; each start has a data folder of its own in it
 * @param nodeOptions further options of Node's command line
 */
export function agentxSide(modelUrl: string, folder: string, nodeOptions: readonly string[] = []): Side {
  return {
    name: 'AgentX',
    start: async (first) => {
      await mkdir(folder, { recursive: true });
      const data = await mkdtemp(join(folder, 'data-'));
      const users = startWorker('agentx-client.ts');
      const startMs = nowMs();
      const server = await startProcess({
        name: 'desktop',
        command: process.execPath,
        args: ['--disable-warning=ExperimentalWarning', ...nodeOptions, main],
        cwd: folder,
        env: {
          PATH: process.env['PATH'],
          HOME: process.env['HOME'],
          ANTHROPIC_API_KEY: 'bench',
          ANTHROPIC_BASE_URL: modelUrl,
          AGENTX_MODEL: MODEL,
          AGENTX_LISTEN: '127.0.0.1:0',
          AGENTX_DATABASE_URL: `sqlite:${join(data, 'database')}`,
          AGENTX_WORKSPACE_ROOT: join(data, 'workspaces'),
        },
        ready: /^AgentX on http/,
      });
      const stop = async () => {
        await users.stop();
        await server.stop();
        await rm(data, { recursive: true, force: true });
      };
      try {
        const target = /http:\/\/[^\s.]+(?:\.\d+)*:\d+/.exec(
          await server.waitForLine(/^AgentX on http/),
        )?.[0];
        if (target === undefined) throw new Error('the desktop process does not say its URL');
        const run = async (load: LoadRequest) => {
          try {
            return await users.run({ ...load, target });
          } catch (error) {
            throw new Error(
              `${String(error)}\nThe desktop's last lines:\n${server.stderr.slice(-5).join('\n')}`,
              {
                cause: error,
              },
            );
          }
        };
        const { firstTextAtMs } = await run(first);
        return { pid: server.pid, firstAnswerMs: firstTextAtMs - startMs, clientPid: users.pid, run, stop };
      } catch (error) {
        await stop();
        throw error;
      }
    },
  };
}

/** Comparable between processes. */
function nowMs(): number {
  return performance.timeOrigin + performance.now();
}
