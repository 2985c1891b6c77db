import type { Logger } from '@agentx/service-kit';
import { findBubblewrap } from './bubblewrap.ts';
import { installBubblewrap } from './install-bubblewrap.ts';
import { createSandbox } from './sandbox.ts';
import type { MissingSandbox, Sandbox } from './sandbox.ts';

export interface PreparedSandbox {
  readonly sandbox: Sandbox | MissingSandbox;
  /** What every answer says about it; empty when tools are confined. */
  readonly notice: string;
}

/**
 * Finds the sandbox that tools run in, and on a fresh Linux machine puts it in place, saying so. Without one the engine
 * starts all the same: the tools that need it refuse and say how to get it.
 */
export async function prepareSandbox(
  mode: 'bubblewrap' | 'off',
  dataFolder: string,
  log: Logger,
): Promise<PreparedSandbox> {
  if (mode === 'off') {
    const notice = 'Tools run without a sandbox, because AGENTX_SANDBOX=off.';
    log.warn(notice);
    return { sandbox: createSandbox({ mode: 'off' }), notice };
  }
  let bubblewrap = await findBubblewrap({ dataFolder });
  if (!bubblewrap.found && process.platform === 'linux') {
    log.info({ reason: bubblewrap.reason }, 'tools need a sandbox: putting bubblewrap in place');
    try {
      const { path, version } = await installBubblewrap(dataFolder, (line) => {
        log.debug(line);
      });
      log.info({ path, version }, 'bubblewrap is in place');
      bubblewrap = { found: true, path, version };
    } catch (error) {
      log.warn({ err: error }, 'no sandbox: tools will refuse to run');
      // It names every way that was tried, and the mend.
      if (error instanceof Error) bubblewrap = { found: false, reason: error.message };
    }
  }
  const sandbox = createSandbox({ mode: 'bubblewrap', bubblewrap });
  const notice =
    sandbox.kind === 'missing' ? `Tools refuse to run, for want of a sandbox: ${sandbox.reason}` : '';
  return { sandbox, notice };
}
