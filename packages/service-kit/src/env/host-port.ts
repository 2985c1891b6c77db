import { InvalidValue } from './invalid-value.ts';

/** An address to listen on. */
export interface HostPort {
  /** Host name or IP address, IPv6 without brackets. */
  readonly host: string;
  /** 0 to 65535; 0 lets the system choose. */
  readonly port: number;
}

const expected = 'host:port, for example 127.0.0.1:8080 or [::1]:8080';

/** Reads `host:port`, IPv6 in brackets. Throws `InvalidValue`. */
export function parseHostPort(text: string): HostPort {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(text);
  if (!match) throw new InvalidValue('is not an address to listen on', expected);
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  if (host === '') throw new InvalidValue('has no host', `${expected}; 0.0.0.0 for every interface`);
  if (port > 65_535) throw new InvalidValue('has a port above 65535', expected);
  return { host, port };
}

/** Whether only this machine reaches what listens on the host. */
export function isLoopbackHost(host: string): boolean {
  return /^(?:localhost|::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/i.test(host);
}

/** The inverse of `parseHostPort`. */
export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
