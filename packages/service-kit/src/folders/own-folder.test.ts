import { describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeOwnFolder } from './own-folder.ts';

const VARIABLE = 'AGENTX_DATABASE_URL';

const inTemporaryFolder = (work: (folder: string) => void) => {
  const folder = mkdtempSync(join(tmpdir(), 'agentx-'));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
};

describe('a folder of the program', () => {
  test('is made with the folders above it, for the owner only, and stays when it is there', () => {
    inTemporaryFolder((top) => {
      makeOwnFolder(join(top, 'a/b'), VARIABLE);
      makeOwnFolder(join(top, 'a/b'), VARIABLE);
      expect(statSync(join(top, 'a')).mode & 0o777).toBe(0o700);
      expect(statSync(join(top, 'a/b')).isDirectory()).toBe(true);
    });
  });

  test('that cannot be made is an error that names it and the mend', () => {
    inTemporaryFolder((top) => {
      writeFileSync(join(top, 'file'), '');
      expect(() => {
        makeOwnFolder(join(top, 'file/data'), VARIABLE);
      }).toThrow(/folder .*file\/data cannot be made .*AGENTX_DATABASE_URL/);
    });
  });

  test('under /proc is refused, not waited for', () => {
    expect(() => {
      makeOwnFolder('/proc/agentx-data', VARIABLE);
    }).toThrow(/cannot be made/);
  });
});
