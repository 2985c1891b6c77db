import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Load, LoadAnswer, LoadResult } from './load.ts';

/** A process of the bench that does loads. It ends with this process. */
export interface Worker {
  readonly pid: number;
  /** Throws when a turn failed. */
  run(load: Load): Promise<LoadResult>;
  stop(): Promise<void>;
}

/** @param module that calls answerLoads, relative to this folder */
export function startWorker(module: string): Worker {
  const child = fork(fileURLToPath(new URL(module, import.meta.url)), [], { serialization: 'advanced' });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${module} cannot be started`);
  const exited = once(child, 'exit');
  return {
    pid,
    run: async (load) => {
      child.send(load);
      const answered = once(child, 'message') as Promise<[LoadAnswer]>;
      const [answer] = await Promise.race([
        answered,
        exited.then(([code]): never => {
          throw new Error(`${module} ended with exit code ${String(code)} in the middle of a load`);
        }),
      ]);
      if ('failure' in answer) throw new Error(answer.failure);
      return answer.result;
    },
    stop: async () => {
      if (child.connected) child.disconnect();
      await exited;
    },
  };
}
