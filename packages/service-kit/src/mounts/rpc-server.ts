import { formatHostPort, parseHostPort } from '../env/index.ts';
import type { HostPort } from '../env/index.ts';
import { StartError } from '../lifecycle/index.ts';

/** Largest message that a server takes, in bytes, where nothing else is said. */
export const DEFAULT_MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** A server that can listen and be closed. */
export interface RpcServer {
  /**
   * Listens on `host:port`; port 0 lets the system choose. Answers the real address. Throws `StartError` when the
   * address cannot be had, saying why and how to mend it.
   */
  listen(address: string | HostPort): Promise<ListenAddress>;
  /** Takes no new calls, lets running ones finish for `graceMs`, then cuts what is left. */
  close(graceMs: number): Promise<void>;
}

/** Where a server listens. */
export interface ListenAddress extends HostPort {
  /** `host:port`, IPv6 in brackets. */
  readonly text: string;
  /** `http://host:port`. */
  readonly url: string;
}

export function toHostPort(address: string | HostPort): HostPort {
  return typeof address === 'string' ? parseHostPort(address) : address;
}

export function listenAddress({ host, port }: HostPort): ListenAddress {
  const text = formatHostPort({ host, port });
  return { host, port, text, url: `http://${text}` };
}

/** Why an address cannot be listened on, by the system's error code (`EADDRINUSE`). */
export function listenError(address: HostPort, code: string | undefined, cause: unknown): StartError {
  const text = formatHostPort(address);
  switch (code) {
    case 'EADDRINUSE':
      return new StartError(
        `ADDRESS_IN_USE: ${text} is taken by another process; end it, or choose another with AGENTX_LISTEN`,
        { cause },
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new StartError(
        `ADDRESS_UNKNOWN: ${text} is no address of this machine; choose another with AGENTX_LISTEN`,
        { cause },
      );
    case 'EACCES':
      return new StartError(
        `ADDRESS_REFUSED: this user may not listen on ${text}; choose a port above 1023 with AGENTX_LISTEN`,
        { cause },
      );
    default:
      return new StartError(`ADDRESS_UNUSABLE: cannot listen on ${text}`, { cause });
  }
}
