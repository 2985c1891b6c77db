import { spawn } from 'node:child_process';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

import { environment, isolationArguments, PATH, sealArguments, words } from './bubblewrap-arguments.ts';
import type { BubblewrapStatus } from './bubblewrap.ts';
import { defaultSandboxLimits } from './limits.ts';
import type { SandboxLimits } from './limits.ts';
import { superviseProcess } from './sandbox-process.ts';
import type { SandboxProcess } from './sandbox-process.ts';
import type { Heartbeat } from './tool.ts';

/** Where every sandbox mounts the project folder, so that transcripts do not depend on the engine they were made on. */
export const PROJECT_MOUNT = '/project';

/** The shell side of a sandbox: see the comments in its scripts. */
const SHELL_FOLDER = join(import.meta.dirname, 'shell');
const SHELL_MOUNT = '/run/agentx';

export interface SandboxRequest {
  /** Real path of the project folder. */
  projectPath: string;
  /** Relative to the project folder, `''` is its top. */
  workingDirectory: string;
  /** Bash source; no NUL. */
  command: string;
  /** The process kills itself a few seconds after this, should the engine not have done so in time. */
  timeoutMs: number;
  heartbeat?: Heartbeat;
}

/** Runs commands for agents. */
export interface Sandbox {
  readonly kind: 'bubblewrap' | 'off';
  /** The project folder as the processes see it. */
  projectMount(projectPath: string): string;
  start(request: SandboxRequest): SandboxProcess;
}

/** There is none; tools that need one refuse. */
export interface MissingSandbox {
  readonly kind: 'missing';
  /** Why, and how to get one. */
  readonly reason: string;
}

export type SandboxOptions =
  | {
      mode: 'bubblewrap';
      bubblewrap: BubblewrapStatus;
      limits?: Partial<SandboxLimits>;
    }
  | {
      /** No sandbox at all: only when the user has chosen so explicitly. */
      mode: 'off';
      limits?: Partial<SandboxLimits>;
    };

/**
 * Creates what runs the commands of agents.
 *
 * `bubblewrap` (Linux, as root or as an ordinary user). What holds:
 * - Files: only the project folder (at `/project`) and private, memory-backed `/tmp` and `/dev/shm` can be written;
 *   the system is read-only and small: `/usr`, and of `/etc` what names, certificates, locale and alternatives need.
 *   Nothing else of the host is there.
 * - Own user, mount, PID, network, IPC, UTS and cgroup namespaces; no further user namespaces; no capabilities; no new
 *   privileges; a new session; a cleared environment. No network but a loopback of its own. `/proc` is read-only: for an
 *   engine that is root, `/proc/sys` would be the host's and writable otherwise.
 * - Death: the command is the child of the namespace's first process, so all it started dies with the call, with the
 *   engine, and when the engine falls silent or the time is over, even if the engine is frozen. Once `ended` resolves,
 *   nothing of it lives.
 * - Limits: CPU time, file size and open files per process (rlimits). Memory and number of processes of the whole
 *   namespace by a watcher every 100 ms, with what it cannot see (see `watchLimits`). The number of processes and
 *   threads is also an rlimit, exact per sandbox for an ordinary user on Linux 5.14 or newer, without effect for root.
 *   `/tmp` and `/dev/shm` count against their own sizes, not against the memory limit. No limit on the disk space of
 *   the project folder: that is the file system's quota.
 * - Not: system calls are not filtered, and the kernel's own bugs are what they are. When the engine is root, files of
 *   the visible system that only root may read can be read.
 *
 * `off`: the command runs as the engine's user in a process group of its own with a cleared environment, and may read and
 * write what that user may. Of the limits only CPU time, file size and open files hold; a process that leaves the
 * group outlives the call.
 */
export function createSandbox(options: SandboxOptions): Sandbox | MissingSandbox {
  const limits = { ...defaultSandboxLimits, ...options.limits };
  if (options.mode === 'off') return createOpenSandbox(limits);
  if (!options.bubblewrap.found) return { kind: 'missing', reason: options.bubblewrap.reason };

  const { path } = options.bubblewrap;
  return {
    kind: 'bubblewrap',
    projectMount: () => PROJECT_MOUNT,
    start(request) {
      const bubblewrap = [
        path,
        ...isolationArguments(limits.temporaryBytes),
        ...words('--info-fd 5 --perms 0644 --file 7 /etc/passwd --perms 0644 --file 8 /etc/group'),
        ...['--ro-bind', SHELL_FOLDER, SHELL_MOUNT],
        ...['--bind', request.projectPath, PROJECT_MOUNT, '--chdir', PROJECT_MOUNT],
        ...sealArguments(),
        ...['--', '/bin/bash', ...supervisorArguments(request, INSIDE, limits)],
      ];
      const launcher = ['--noprofile', '--norc', join(SHELL_FOLDER, 'launch.sh')];
      const child = spawn('/bin/bash', [...launcher, ...bubblewrap], {
        env: { PATH },
        stdio: ['ignore', 'pipe', 'ignore', 'pipe', 'pipe', 'pipe', 'pipe'],
      });
      return superviseProcess(child, request, { kind: 'namespace', limits });
    },
  };
}

function createOpenSandbox(limits: SandboxLimits): Sandbox {
  return {
    kind: 'off',
    projectMount: (projectPath) => projectPath,
    start(request) {
      const view: View = { mount: request.projectPath, scripts: SHELL_FOLDER, victims: '0' };
      const child = spawn('/bin/bash', supervisorArguments(request, view, limits), {
        cwd: request.projectPath,
        env: {
          ...environment(homedir(), tmpdir()),
          PATH: process.env['PATH'] ?? PATH,
        },
        // The leader of a new session and process group, which is killed as a whole.
        detached: true,
        stdio: ['ignore', 'pipe', 'ignore', 'pipe', 'pipe', 'ignore', 'pipe'],
      });
      return superviseProcess(child, request, { kind: 'group' });
    },
  };
}

/** Seconds between the engine's own time limit and the one the process keeps for itself. */
const GRACE_SECONDS = 5;

interface View {
  /** The project folder as the process sees it. */
  mount: string;
  /** The folder of the scripts as the process sees it. */
  scripts: string;
  /** Whom it kills to end itself: all of its PID namespace, or its process group. */
  victims: '-1' | '0';
}

const INSIDE: View = { mount: PROJECT_MOUNT, scripts: SHELL_MOUNT, victims: '-1' };

/** The arguments of bash; `supervise.sh` names them. */
function supervisorArguments(
  { workingDirectory, timeoutMs, heartbeat }: SandboxRequest,
  { mount, scripts, victims }: View,
  limits: SandboxLimits,
): string[] {
  const deadline = Math.ceil(timeoutMs / 1000) + GRACE_SECONDS;
  const silence = heartbeat ? Math.max(1, Math.floor(heartbeat.maxSilenceMs / 1000)) : deadline;
  const values = [
    ...[join(mount, workingDirectory), mount, deadline, silence, victims],
    ...[limits.cpuSeconds, Math.ceil(limits.fileBytes / 1024), limits.openFiles],
    // Without a user namespace this limit would count all processes of the user.
    victims === '-1' ? limits.processes : 'unlimited',
    join(scripts, 'command.sh'),
  ];
  return ['--noprofile', '--norc', join(scripts, 'supervise.sh'), ...values.map(String)];
}
