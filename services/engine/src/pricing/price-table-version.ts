import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** The installed price table. Its package does not export its own version. */
export const PRICE_TABLE_VERSION = readVersion();

function readVersion(): string {
  const entry = createRequire(import.meta.url).resolve('@pydantic/genai-prices');
  const file = path.join(path.dirname(entry), '..', 'package.json');
  const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version?: unknown };
  if (typeof version !== 'string') throw new Error(`${file} names no version of the price table`);
  return `genai-prices ${version}`;
}
