/** What the tests of tools share: real sandboxes, processes that can be found again, a context. */
import { randomInt } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { findBubblewrap } from './bubblewrap.ts';
import { createSandbox } from './sandbox.ts';
import type { MissingSandbox, Sandbox } from './sandbox.ts';
import type { SandboxLimits } from './limits.ts';
import type { ToolContext } from './tool.ts';

const DATA_FOLDER = join(import.meta.dirname, '../../../../.agentx');

/** A bubblewrap sandbox. Throws where there is none: these tests must not pass without. */
export async function createTestSandbox(
  limits: Partial<SandboxLimits> = {},
): Promise<Sandbox | MissingSandbox> {
  const bubblewrap = await findBubblewrap({ dataFolder: DATA_FOLDER });
  if (!bubblewrap.found) {
    throw new Error(`These tests need bubblewrap; run: node scripts/infra/install.ts (${bubblewrap.reason})`);
  }
  return createSandbox({ mode: 'bubblewrap', bubblewrap, limits });
}

const folders: string[] = [];

/** A new empty folder, until `removeFolders`. */
export function createFolder(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'agentx-tools-')));
  folders.push(folder);
  return folder;
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** A context that collects the live output. */
export function createContext(changes: Partial<ToolContext> = {}): ToolContext & { live: string[] } {
  const live: string[] = [];
  return {
    tenantId: 'default',
    agentId: 'a1',
    projectPath: changes.projectPath ?? createFolder(),
    workingDirectory: '',
    signal: new AbortController().signal,
    onOutput: (chunk) => void live.push(chunk),
    ...changes,
    live,
  };
}

/** A `sleep` no other process has, so that it can be found from outside. */
export function createMarker(): string {
  return `sleep 9${randomInt(1e9)}.${randomInt(1e9)}`;
}

/** Whether a living process on this machine has the marker as its command line; its ids seen from outside. */
export function findProcesses(marker: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() === marker;
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Waits until the condition holds, at most 15 s. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`It did not come true that ${what}`);
    await delay(20);
  }
}
