import { afterEach, describe, expect, test } from '@jest/globals';
import { isAbsolute, join } from 'node:path';
import { findPart, partNames, requirePart } from './parts.ts';
import { isExecutable } from './paths.ts';

const path = process.env['PATH'];

afterEach(() => {
  process.env['PATH'] = path;
});

describe('requirePart', () => {
  test.each(['curl', 'bubblewrap'] as const)('names %s and the command that installs it', async (name) => {
    process.env['PATH'] = '/nonexistent';
    await expect(requirePart(name)).rejects.toThrow(
      `${name} is missing on this machine. Put it in place: npx node scripts/infra/install.ts ${name}`,
    );
  });

  test.each(partNames)('finds %s', async (name) => {
    const { path, version } = await requirePart(name);
    expect(isAbsolute(path)).toBe(true);
    expect(version).toMatch(/^\d+\.\d+/);
  });
});

test("findPart gives the folder of PostgreSQL's programs also when it is not on the PATH", async () => {
  const found = await findPart('postgres');
  process.env['PATH'] = '/nonexistent';
  expect(await findPart('postgres')).toEqual(found);
  expect(await isExecutable(join(found!.path, 'initdb'))).toBe(true);
});
