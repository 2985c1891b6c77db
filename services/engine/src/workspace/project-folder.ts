import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';

/** The tenant whose agents live directly under the workspace root. */
const DEFAULT_TENANT = 'default';

/** Starts with a letter or a digit, so it is never `.`, `..`, or an `@tenant` folder. */
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export interface ProjectFolderRequest {
  /** The workspace root (`AGENTX_WORKSPACE_ROOT`); created if it does not exist. */
  root: string;
  tenantId: string;
  agentId: string;
}

/**
 * Creates an agent's project folder where it is missing and returns its real path:
 * `{root}/{agentId}/project`, for other tenants than `default` `{root}/@{tenantId}/{agentId}/project`.
 * Folders it creates are for the owner only (mode 0700).
 *
 * Throws if an id is malformed, or if the path leads elsewhere (through a symbolic link, or because the file system
 * ignores case and another agent has the folder); file system errors are passed on.
 */
export async function openProjectFolder({ root, tenantId, agentId }: ProjectFolderRequest): Promise<string> {
  checkId('tenant id', tenantId);
  checkId('agent id', agentId);
  await mkdir(root, { recursive: true, mode: 0o700 });
  const realRoot = await realpath(root);
  const owner = tenantId === DEFAULT_TENANT ? realRoot : join(realRoot, `@${tenantId}`);
  const path = join(owner, agentId, 'project');
  await mkdir(path, { recursive: true, mode: 0o700 });
  const realPath = await realpath(path);
  if (realPath !== path) {
    throw new Error(
      `The project folder of agent "${agentId}" should be ${path}, but that leads to ${realPath}. ` +
        'Remove the symbolic link, or rename the agent if another one differs from it only by upper and lower case.',
    );
  }
  return realPath;
}

function checkId(what: string, id: string): void {
  if (!ID.test(id)) {
    throw new Error(
      `The ${what} ${JSON.stringify(id)} cannot name a folder. Use 1 to 128 letters, digits, ".", "_" or "-", ` +
        'beginning with a letter or a digit.',
    );
  }
}
