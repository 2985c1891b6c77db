import type { Logger } from 'pino';
import type { Identity } from './identity.ts';

/** What a handler knows about its call besides the request. */
export interface CallContext {
  /** Aborts when the caller leaves, its deadline passes or the server shuts down. The reason is the error to throw. */
  readonly signal: AbortSignal;
  /** Milliseconds left until the deadline: the caller's, or for unary calls the server's maximum. */
  readonly timeoutMs: number | undefined;
  readonly identity: Identity;
  /** The request's headers. */
  readonly header: Headers;
  /** Names the method, the tenant, and the agent and turn where the request has them. */
  readonly log: Logger;
}
