import { afterAll, expect, test } from '@jest/globals';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { openProjectFolder } from './project-folder.ts';

const top = realpathSync(mkdtempSync(join(tmpdir(), 'agentx-workspace-')));
afterAll(() => rmSync(top, { recursive: true }));

const createRoot = () => mkdtempSync(join(top, 'root-'));

test('folders are where the design says, made once, and for the owner only', async () => {
  const root = join(createRoot(), 'workspace');
  const path = await openProjectFolder({ root, tenantId: 'default', agentId: 'a1' });
  expect(path).toBe(join(root, 'a1/project'));
  expect(await openProjectFolder({ root, tenantId: 'default', agentId: 'a1' })).toBe(path);
  const other = await openProjectFolder({ root, tenantId: 'acme', agentId: 'a1' });
  expect(other).toBe(join(root, '@acme/a1/project'));
  for (const folder of [root, path, join(path, '..'), join(root, '@acme')]) {
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  }
});

test('a root behind a symbolic link is resolved', async () => {
  const root = createRoot();
  symlinkSync(root, `${root}-link`);
  const path = await openProjectFolder({ root: `${root}-link`, tenantId: 'default', agentId: 'a1' });
  expect(path).toBe(join(root, 'a1/project'));
});

test.each(['', '.', '..', '../a', 'a/b', '@acme', '-a', 'a\0', 'a\n', 'a'.repeat(129)])(
  'id %j is refused',
  async (id) => {
    const root = createRoot();
    await expect(openProjectFolder({ root, tenantId: 'default', agentId: id })).rejects.toThrow('agent id');
    await expect(openProjectFolder({ root, tenantId: id, agentId: 'a1' })).rejects.toThrow('tenant id');
  },
);

test('a folder that leads elsewhere is refused', async () => {
  const root = createRoot();
  const elsewhere = createRoot();
  mkdirSync(join(elsewhere, 'project'));
  symlinkSync(elsewhere, join(root, 'a1'));
  await expect(openProjectFolder({ root, tenantId: 'default', agentId: 'a1' })).rejects.toThrow('leads to');
});
