import { describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('./install.ts', import.meta.url));

function install(parts: string[], path = process.env['PATH']) {
  return spawnSync(process.execPath, [script, ...parts], { encoding: 'utf8', env: { PATH: path } });
}

describe('the install command', () => {
  test('says where a part is that is there already', () => {
    const { status, stdout, stderr } = install(['curl']);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^curl: \d+\.\d+\.\d+ \(\/.*curl\)\n$/);
    expect(status).toBe(0);
  });

  test('names every missing part and how to get it, and fails', () => {
    const { status, stderr } = install(['curl', 'bubblewrap'], '/nonexistent');
    expect(stderr).toContain('- curl: this machine has no apt\n  To get it: sudo apt-get install curl');
    expect(stderr).toContain(
      '- bubblewrap: this machine has no apt\n  To get it: sudo apt-get install bubblewrap',
    );
    expect(status).toBe(1);
  });

  test('refuses a part that does not exist, naming those that do', () => {
    const { status, stderr } = install(['curl', 'postgresql']);
    expect(stderr).toContain('no part is called postgresql; the parts are: postgres, grpcurl');
    expect(status).toBe(1);
  });
});
