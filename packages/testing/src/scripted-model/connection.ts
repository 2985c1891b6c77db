import type { ServerResponse } from 'node:http';

/** One response's connection, whose end cuts short whatever the script waits for. */
export interface Connection {
  readonly response: ServerResponse;
  /** True once the client or the server has closed it, also after a whole answer. */
  readonly gone: boolean;
  /** Settles when `start` calls back or the connection is gone, one wait at a time; rejects with what was waited for. */
  until(start: (done: () => void, failed: (error: unknown) => void) => void): Promise<void>;
  sleep(ms: number): Promise<void>;
}

export function createConnection(response: ServerResponse): Connection {
  let gone = false;
  // One slot instead of a listener or a promise reaction for each of many thousand events.
  let release: (() => void) | undefined;
  response.on('close', () => {
    gone = true;
    release?.();
  });

  const until: Connection['until'] = async (start) => {
    if (gone) return;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    release = () => {
      resolve(undefined);
    };
    try {
      start(release, reject);
      await promise;
    } finally {
      release = undefined;
    }
  };

  return {
    response,
    get gone() {
      return gone;
    },
    until,
    sleep: async (ms) => {
      let timer: NodeJS.Timeout | undefined;
      await until((done) => {
        timer = setTimeout(done, ms);
      });
      clearTimeout(timer);
    },
  };
}
