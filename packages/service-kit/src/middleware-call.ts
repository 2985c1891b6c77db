import type { DescMethod, Message } from '@bufbuild/protobuf';
import { Code } from '@connectrpc/connect';
import type { Logger } from 'pino';
import type { CallContext } from './context.ts';
import { DomainError } from './errors.ts';
import type { Identity } from './identity.ts';

/** What a mount knows of a call that comes in. */
export interface IncomingCall {
  readonly header: Headers;
  /** Aborts when the caller has left. */
  readonly signal: AbortSignal | undefined;
  /** The caller's timeout in milliseconds. */
  readonly timeoutMs: number | undefined;
}

type Runner = <T>(work: () => T) => T;

/** What `ActiveCall` needs from the chain that it runs in. */
export interface CallOwner {
  readonly log: Logger;
  readonly calls: Set<ActiveCall>;
}

/**
 * A call from its start to its end: the handler's context, and the one place where the ways to cut it short meet.
 * The signal, the logger and the timer are made when they are needed; most short calls need none of them.
 */
export class ActiveCall implements CallContext {
  readonly method: DescMethod;
  readonly startedAt = performance.now();
  identity: Identity = { tenantId: '', subject: '' };
  /** Called once, when the call is cut short. */
  onAbort: ((reason: DomainError) => void) | undefined;

  readonly #owner: CallOwner;
  readonly #incoming: IncomingCall;
  readonly #request: Message;
  readonly #deadlineAt: number | undefined;
  #abortReason: DomainError | undefined;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #log: Logger | undefined;
  #run: Runner | undefined;

  /** @param timeoutMs the caller's timeout or the server's maximum, whichever is shorter */
  constructor(
    owner: CallOwner,
    method: DescMethod,
    request: Message,
    incoming: IncomingCall,
    timeoutMs: number | undefined,
  ) {
    this.method = method;
    this.#owner = owner;
    this.#incoming = incoming;
    this.#request = request;
    if (timeoutMs !== undefined) {
      this.#deadlineAt = this.startedAt + timeoutMs;
      // setTimeout takes 31 bits of milliseconds; what is further away needs no timer.
      if (timeoutMs <= 0x7fff_ffff) this.#timer = setTimeout(this.#onDeadline, Math.max(0, timeoutMs));
    }
    owner.calls.add(this);
    incoming.signal?.addEventListener('abort', this.#onCallerLeft);
    if (incoming.signal?.aborted === true) this.#onCallerLeft();
  }

  get header(): Headers {
    return this.#incoming.header;
  }

  get timeoutMs(): number | undefined {
    return this.#deadlineAt === undefined ? undefined : Math.max(0, this.#deadlineAt - performance.now());
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  get log(): Logger {
    return (this.#log ??= this.#owner.log.child({
      method: methodName(this.method),
      tenantId: this.identity.tenantId,
      ...idsOf(this.#request),
    }));
  }

  /** Why the call was cut short; undefined while it was not. */
  get abortReason(): DomainError | undefined {
    return this.#abortReason;
  }

  /** Cuts the call short: the handler's signal aborts and the caller gets `reason`. Only the first reason counts. */
  abort(reason: DomainError): void {
    if (this.#abortReason !== undefined) return;
    this.#abortReason = reason;
    this.#controller?.abort(reason);
    this.onAbort?.(reason);
  }

  /** From now on `run` goes through `runner`, and through those that were there before. */
  runWithin(runner: Runner): void {
    const outer = this.#run;
    this.#run = outer === undefined ? runner : (work) => outer(() => runner(work));
  }

  /** Runs a piece of the handler. */
  run<T>(work: () => T): T {
    return this.#run === undefined ? work() : this.#run(work);
  }

  /** Lets go of the timer and of the caller's signal. */
  settle(): void {
    clearTimeout(this.#timer);
    this.#incoming.signal?.removeEventListener('abort', this.#onCallerLeft);
    this.#owner.calls.delete(this);
  }

  readonly #onDeadline = (): void => {
    this.abort(
      new DomainError(Code.DeadlineExceeded, 'DEADLINE_EXCEEDED', 'the deadline of the call has passed'),
    );
  };

  readonly #onCallerLeft = (): void => {
    // Some transports let go of a call when its deadline passes, a moment before the timer here fires.
    const { timeoutMs } = this;
    if (timeoutMs !== undefined && timeoutMs <= 2) this.#onDeadline();
    else this.abort(callerLeft());
  };
}

/** The reason of a call whose caller went away. */
export function callerLeft(): DomainError {
  return new DomainError(Code.Canceled, 'CANCELED', 'the caller has left');
}

/** The reason of calls that a shutdown cuts short. */
export function shuttingDown(): DomainError {
  return new DomainError(
    Code.Unavailable,
    'SHUTTING_DOWN',
    'the server shuts down: try again, another may answer',
  );
}

/** `agentx.engine.v1.EngineService/Receive` */
export function methodName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

function idsOf(request: Message): { agentId?: string; turnId?: string } {
  const { agentId, turnId } = request as { agentId?: unknown; turnId?: unknown };
  return {
    ...(typeof agentId === 'string' && agentId !== '' && { agentId }),
    ...(typeof turnId === 'string' && turnId !== '' && { turnId }),
  };
}
