import { fileURLToPath } from 'node:url';
import { startProcess, temporaryFolder } from '@agentx/testing';
import type { RunningProcess } from '@agentx/testing';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { sql } from 'kysely';
import { DatabaseSync } from 'node:sqlite';
import type { Database } from '../database.ts';
import { addItem, itemIds, openItems, T } from '../item.fixture.ts';

const program = fileURLToPath(new URL('../write-until-killed.fixture.ts', import.meta.url));

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let url: string;
beforeEach(async () => {
  folder = await temporaryFolder('agentx-sqlite-');
  url = `sqlite:${folder.path}`;
});
afterEach(() => folder.remove());

const startWriter = (): Promise<RunningProcess> =>
  startProcess({
    name: 'writer',
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', program, folder.path],
    ready: /durable/,
  });

describe('a process that is killed', () => {
  test('loses nothing that it was told is durable, and leaves the data free for the next', async () => {
    await using writer = await startWriter();
    await writer.waitForLine(/durable 0002\d\d/);
    writer.kill('SIGKILL');
    await writer.exited;
    const told = writer.stdout.map((line) => line.replace('durable ', ''));

    await using database = await openItems(url);
    const kept = new Set(await itemIds(database));
    expect(told.length).toBeGreaterThan(200);
    expect(told.filter((id) => !kept.has(id))).toEqual([]);
  });

  test('keeps others out while it lives, who are told the folder and the mend', async () => {
    await using writer = await startWriter();
    await expect(openItems(url)).rejects.toThrow(
      `another AgentX process uses ${folder.path} (its items data is locked); stop it or set AGENTX_DATABASE_URL to another folder`,
    );
    // The data itself stays readable.
    using reader = new DatabaseSync(`${folder.path}/items.db`, { readOnly: true });
    expect(reader.prepare('select count(*) as n from item').get()).toMatchObject({ n: expect.any(Number) });
    expect(writer.stdout.length).toBeGreaterThan(0);
  });
});

describe('within a process', () => {
  let database: Database;
  beforeEach(async () => {
    database = await openItems(url);
  });
  afterEach(() => database.close());

  test('a read never sees rows of a group that is still open', async () => {
    const seen: number[] = [];
    const write = async (id: number) => {
      await database.transaction(T, async (tx) => {
        await addItem(tx, `${id}`);
        // Reads that start while the group is open.
        void itemIds(database).then((ids) => seen.push(ids.length));
        await addItem(tx, `${id}-second`);
      });
    };
    await Promise.all([write(1), write(2), write(3)]);
    await itemIds(database);
    expect(seen).toEqual([6, 6, 6]);
  });

  test('every commit is synced to the disk, so that a power cut loses none', async () => {
    const settings = await database.read(T, async (tx) => [
      ...(await tx.rows(sql`pragma synchronous`)),
      ...(await tx.rows(sql`pragma journal_mode`)),
    ]);
    expect(settings.map((row) => ({ ...(row as object) }))).toEqual([
      { synchronous: 2 },
      { journal_mode: 'wal' },
    ]);
  });

  test('a read cannot write', async () => {
    await expect(database.read(T, (tx) => addItem(tx, 'a'))).rejects.toThrow(/readonly/);
    expect(await itemIds(database)).toEqual([]);
  });

  test('a work that awaits something else fails at once; the others and the next go on', async () => {
    const never = new Promise(() => undefined);
    const results = await Promise.allSettled([
      database.transaction(T, (tx) => addItem(tx, 'a')),
      database.transaction(T, async (tx) => {
        await addItem(tx, 'b');
        await never;
      }),
      database.transaction(T, async () => {
        await database.transaction(T, (tx) => addItem(tx, 'inner'));
      }),
      database.transaction(T, (tx) => addItem(tx, 'c')),
    ]);
    expect(results.map((result) => result.status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'fulfilled',
    ]);
    expect((results[1] as PromiseRejectedResult).reason).toMatchObject({
      message: expect.stringContaining('awaited something else'),
    });
    await database.transaction(T, (tx) => addItem(tx, 'd'));
    expect(await itemIds(database)).toEqual(['a', 'c', 'd', 'inner']);
  });

  test('more works than fit one group all get through', async () => {
    await Promise.all(
      Array.from({ length: 1000 }, (_, index) => database.transaction(T, (tx) => addItem(tx, `${index}`))),
    );
    expect(await itemIds(database)).toHaveLength(1000);
  });

  test('no space left: RESOURCE_EXHAUSTED DATABASE_FULL, and the rest of the data stays usable', async () => {
    await database.transaction(T, (tx) => addItem(tx, 'a'));
    await database.transaction(T, (tx) => tx.rows(sql`pragma max_page_count = 1`));
    const filling = database.transaction(T, (tx) =>
      tx.rows(sql`insert into item values ('t', 'big', 0, ${new Uint8Array(100_000)})`),
    );
    await expect(filling).rejects.toMatchObject({ reason: 'DATABASE_FULL' });
    expect(database.lastOutcome).toMatchObject({ ok: false, error: expect.stringContaining('full') });
    expect(await itemIds(database)).toEqual(['a']);
    expect(database.lastOutcome).toMatchObject({ ok: true });
  });
});
