import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { isRunning, processFamily } from '../processes/process-family.ts';
import { startProcess } from '../processes/start-process.ts';
import { waitFor } from '../processes/wait-for.ts';
import { startPostgres } from './start-postgres.ts';
import type { PostgresServer } from './start-postgres.ts';

const fixture = fileURLToPath(new URL('./fixtures/leaves-a-server-behind.ts', import.meta.url));
let server: PostgresServer;

beforeAll(async () => {
  server = await startPostgres();
});

afterAll(async () => {
  await server.stop();
});

async function connect(url: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({ connectionString: url });
  // The server ends connections when it restarts; the tests look at the next one.
  client.on('error', () => undefined);
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

async function query<T extends object>(url: string, statement: string): Promise<T[]> {
  await using client = await connect(url);
  return (await client.query<T>(statement)).rows;
}

describe('a database', () => {
  test('belongs to a user who is no superuser and may create tables', async () => {
    const url = await server.createDatabase('shop');
    await query(url, 'create table orders (id int); create schema more;');
    const rows = await query(
      url,
      'select current_database(), rolsuper from pg_roles where rolname = current_user',
    );
    expect(rows).toEqual([{ current_database: 'shop', rolsuper: false }]);
  });

  test('without a name is a new one each time', async () => {
    const urls = await Promise.all([server.createDatabase(), server.createDatabase()]);
    expect(new Set(urls).size).toBe(2);
  });

  test('has a plain name', async () => {
    await expect(server.createDatabase('a"; drop')).rejects.toThrow('"a"; drop" is no name for a database');
  });

  test('lets nobody in without the password', async () => {
    const url = new URL(server.url);
    url.password = 'guess';
    await expect(query(url.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
  });
});

test('syncs commits to the disk unless told otherwise, and takes settings', async () => {
  const settings = "select name, setting from pg_settings where name in ('fsync', 'work_mem') order by name";
  expect((await query(server.url, settings))[0]).toEqual({ name: 'fsync', setting: 'on' });
  await using fast = await startPostgres({ durable: false, settings: { work_mem: '1MB' } });
  expect(await query(fast.url, settings)).toEqual([
    { name: 'fsync', setting: 'off' },
    { name: 'work_mem', setting: '1024' },
  ]);
});

test.each(['fast', 'immediate'] as const)(
  'a restart (%s) keeps what was committed, and the port',
  async (mode) => {
    const url = await server.createDatabase();
    await query(url, 'create table kept as select 42 as answer');
    const before = server.pid;
    await using idle = await connect(url);
    const ended = new Promise((resolve) => idle.once('end', resolve));
    await server.restart(mode);
    await ended;
    expect(server.pid).not.toBe(before);
    expect(await query(url, 'select answer from kept')).toEqual([{ answer: 42 }]);
  },
);

test('a frozen server answers nothing until it is thawed', async () => {
  await using client = await connect(server.url);
  server.freeze();
  let answered = false;
  const answer = client.query<{ one: number }>('select 1 as one').then(({ rows }) => {
    answered = true;
    return rows;
  });
  // A thawed server answers this within a few milliseconds.
  await expect(waitFor(() => answered, { what: 'an answer', timeoutMs: 300 })).rejects.toThrow('an answer');
  server.thaw();
  expect(await answer).toEqual([{ one: 1 }]);
});

test.each(['running', 'frozen'])('stop ends a %s server and removes its data', async (state) => {
  const own = await startPostgres({ durable: false });
  const rows = await query<{ data_directory: string }>(own.url, 'show data_directory');
  const pids = processFamily(own.pid);
  if (state === 'frozen') own.freeze();
  await own.stop();
  expect(pids.filter(isRunning)).toEqual([]);
  expect(existsSync(rows[0]!.data_directory)).toBe(false);
  await own.stop();
});

test.each(['running', 'frozen'])('a %s server does not outlive a process that is killed', async (state) => {
  await using parent = await startProcess({
    name: 'parent',
    command: process.execPath,
    args: [fixture, state],
    ready: /"pids"/,
  });
  const { pids, folder } = JSON.parse(parent.stdout[0]!) as { pids: number[]; folder: string };
  expect(pids.length).toBeGreaterThan(3);
  expect(pids.every(isRunning)).toBe(true);
  parent.kill('SIGKILL');
  await parent.exited;
  await waitFor(() => !pids.some(isRunning), { what: "the server's processes to end" });
  await waitFor(() => !existsSync(folder), { what: 'its data to be removed' });
});
