import { EventEmitter } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from '@jest/globals';
import { ConfigError } from '../env/index.ts';
import type { Lifecycle, ProcessLike } from './run-program.ts';
import { runProgram } from './run-program.ts';
import { StartError } from './start-error.ts';

class Host extends EventEmitter implements ProcessLike {
  readonly env = { AGENTX_LOG_LEVEL: 'silent' };
  readonly exits: number[] = [];
  text = '';
  readonly stderr = { write: (text: string) => (this.text += text) };
  exit(code: number): void {
    this.exits.push(code);
  }
}

/** Runs a program whose main function has returned when this resolves. */
async function running(main: (life: Lifecycle) => unknown) {
  const host = new Host();
  const { promise: started, resolve } = Promise.withResolvers<undefined>();
  const ended = runProgram(
    'engine',
    async (life) => {
      await main(life);
      resolve(undefined);
    },
    host,
  );
  await started;
  return { host, ended };
}

async function failing(error: Error): Promise<Host> {
  const host = new Host();
  await runProgram('engine', () => Promise.reject(error), host);
  return host;
}

describe('ending', () => {
  test.each(['SIGINT', 'SIGTERM'])('%s: told at once, cleaned up in reverse order, 0', async (signal) => {
    const order: string[] = [];
    const { host, ended } = await running((life) => {
      life.onShutdown(() => order.push('told'));
      life.signal.addEventListener('abort', () => order.push('aborted'));
      life.defer(() => order.push('first'));
      life.defer(async () => {
        await new Promise(setImmediate);
        order.push('second');
      });
    });
    expect(host.exits).toEqual([]);
    host.emit(signal, signal);
    await ended;
    expect(order).toEqual(['told', 'aborted', 'second', 'first']);
    expect(host.exits).toEqual([0]);
    expect(host.eventNames()).toEqual([]);
  });

  test('a clean-up that fails or hangs stops none of the others, and is told by the exit code', async () => {
    const order: string[] = [];
    const { host, ended } = await running((life) => {
      life.defer(() => order.push('first'));
      life.defer(() => new Promise(() => undefined), { name: 'hangs', timeoutMs: 1 });
      life.defer(() => {
        throw new Error('no');
      });
    });
    host.emit('SIGTERM', 'SIGTERM');
    await ended;
    expect(order).toEqual(['first']);
    expect(host.exits).toEqual([1]);
  });

  test('a second signal exits at once', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const { host, ended } = await running((life) => life.defer(() => promise));
    host.emit('SIGINT', 'SIGINT');
    host.emit('SIGINT', 'SIGINT');
    expect(host.exits).toEqual([130]);
    resolve(undefined);
    await ended;
  });

  test.each(['unhandledRejection', 'uncaughtException'])('%s: cleaned up, 1', async (event) => {
    const order: string[] = [];
    const { host, ended } = await running((life) => life.defer(() => order.push('cleaned')));
    host.emit(event, new Error('nobody caught it'));
    await ended;
    expect(order).toEqual(['cleaned']);
    expect(host.exits).toEqual([1]);
  });

  test('end() ends with 0, end(error) with 1', async () => {
    const well = await running((life) => life.end());
    await well.ended;
    const ill = await running((life) => life.end(new Error('lost the data folder')));
    await ill.ended;
    expect([well.host.exits, ill.host.exits]).toEqual([[0], [1]]);
  });

  test('a signal while it starts: main sees it, and what it throws then is no failure', async () => {
    const host = new Host();
    const ended = runProgram(
      'engine',
      (life) =>
        new Promise((_resolve, reject) => {
          life.signal.addEventListener('abort', () => reject(new Error('aborted')));
          setImmediate(() => host.emit('SIGTERM', 'SIGTERM'));
        }),
      host,
    );
    await ended;
    expect([host.exits, host.text]).toEqual([[0], '']);
  });
});

describe('failing to start', () => {
  test('a wrong environment: its text and 2', async () => {
    const error = new ConfigError('engine', [{ name: 'AGENTX_X', wrong: 'is odd', right: 'Remove it.' }]);
    const host = await failing(error);
    expect(host.text).toBe(`${error.message}\n`);
    expect(host.exits).toEqual([2]);
  });

  test('an address in use: one line that names it and the variable', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const error = await new Promise<Error>((resolve) =>
      createServer().on('error', resolve).listen(port, '127.0.0.1'),
    );
    const host = await failing(error);
    expect(host.text).toMatch(
      new RegExp(`^engine cannot start: 127.0.0.1:${port} is in use.*AGENTX_LISTEN.*\n$`),
    );
    expect(host.exits).toEqual([1]);
    await new Promise((resolve) => taken.close(resolve));
  });

  test('a reason that a person can mend: one line with its causes', async () => {
    const cause = new Error('another process holds it');
    const host = await failing(new StartError('the data folder is locked', { cause }));
    expect(host.text).toBe('engine cannot start: the data folder is locked (another process holds it)\n');
    expect(host.exits).toEqual([1]);
  });

  test('what had been started is cleaned up', async () => {
    const host = new Host();
    const order: string[] = [];
    await runProgram(
      'engine',
      (life) => {
        life.defer(() => order.push('cleaned'));
        return Promise.reject(new Error('unexpected'));
      },
      host,
    );
    expect([order, host.exits, host.text]).toEqual([['cleaned'], [1], '']);
  });
});
