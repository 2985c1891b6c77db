import { existsSync, lstatSync, readlinkSync } from 'node:fs';

export const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** All that a command finds in its environment: nothing of the engine's. */
export function environment(home: string, temporary: string): Record<string, string> {
  return {
    ...{ PATH, HOME: home, TMPDIR: temporary, USER: 'agent', LOGNAME: 'agent' },
    ...{ SHELL: '/bin/bash', LANG: 'C.UTF-8', TERM: 'dumb' },
  };
}

export const words = (text: string): string[] => text.trim().split(/\s+/);

/** Read-only parts of the system besides `/usr`; what does not exist is skipped. No secrets and no names of hosts. */
const SYSTEM_PATHS = words(`
  /etc/alternatives /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/nsswitch.conf /etc/host.conf
  /etc/os-release /etc/debian_version /etc/lsb-release /etc/protocols /etc/services
  /etc/ssl/certs /etc/ssl/openssl.cnf /etc/ca-certificates /etc/ca-certificates.conf
  /etc/pki/tls/certs /etc/pki/tls/openssl.cnf /etc/pki/ca-trust /etc/crypto-policies
  /etc/localtime /etc/timezone /etc/locale.alias /etc/locale.conf /etc/mime.types /etc/magic /etc/terminfo
  /etc/fonts /etc/perl /etc/python3 /etc/java-17-openjdk /etc/java-21-openjdk
`);

const SHARED_MEMORY_BYTES = 64 * 1024 * 1024;

/** Namespaces, system and scratch space. What a sandbox is, in bubblewrap's words; also what the probe tries. */
export function isolationArguments(temporaryBytes: number): string[] {
  return [
    ...words('--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup-try'),
    ...words('--disable-userns --uid 1000 --gid 1000 --hostname agentx --cap-drop ALL'),
    ...words('--as-pid-1 --die-with-parent --new-session --clearenv'),
    ...Object.entries(environment('/tmp/home', '/tmp')).flatMap(([name, value]) => ['--setenv', name, value]),
    ...words('--ro-bind /usr /usr'),
    ...words('/bin /sbin /lib /lib32 /lib64 /libx32').flatMap(linkOrBind),
    ...SYSTEM_PATHS.flatMap((path) => ['--ro-bind-try', path, path]),
    ...words(`--proc /proc --dev /dev --size ${SHARED_MEMORY_BYTES} --tmpfs /dev/shm`),
    ...words(`--size ${temporaryBytes} --tmpfs /tmp --dir /tmp/home`),
  ];
}

/**
 * Must come last. The skeleton (`/`, `/dev`) is else a writable memory file system of half the host's memory; and for an
 * engine that is root, `/proc` is writable where the host's root may write, `/proc/sys` included.
 */
export function sealArguments(): string[] {
  return words('--remount-ro /proc --remount-ro /dev --remount-ro /');
}

/** `/bin` and its like are links into `/usr` on most systems and folders of their own on some. */
function linkOrBind(path: string): string[] {
  if (!existsSync(path)) return [];
  const isLink = lstatSync(path).isSymbolicLink();
  return isLink ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}
