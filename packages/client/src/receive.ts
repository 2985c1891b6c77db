import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import type { EngineService, ReceiveRequestSchema } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { canceled, errorInfoOf } from './errors.ts';

export interface ReceiveOptions {
  /** Stops reading. The turn goes on; `interrupt` stops it. */
  readonly signal?: AbortSignal;
  /**
   * How long to try to reach an engine again, counted from when the stream was lost. Default: 120,000 ms. Before the
   * first event it is 10,000 ms at most.
   */
  readonly giveUpAfterMs?: number;
  /** A stream that says nothing for so long is given up for another. Default: 45,000 ms, three heartbeats. */
  readonly silenceMs?: number;
}

type Engine = Client<typeof EngineService>;

const FIRST_EVENT_MS = 10_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;

/**
 * Sends a message to an agent and yields what happens until the turn has ended, through lost connections and engines
 * that die: it goes on after the last event it saw, without a gap and without a duplicate.
 *
 * Where an engine had to ask the model again, a `stepRestarted` event comes: what was yielded of lower attempts of that
 * step (`step`, `attempt`) is void then, and deltas of it that are shown should be taken back.
 *
 * Throws a `ConnectError`: what the server refused, CANCELED when `signal` aborts, or what went wrong last when no
 * engine could be reached for `giveUpAfterMs`.
 */
export async function* receive(
  engine: Engine,
  message: MessageInitShape<typeof ReceiveRequestSchema>,
  options: ReceiveOptions = {},
): AsyncGenerator<AgentEvent, undefined> {
  const { signal, giveUpAfterMs = 120_000, silenceMs = 45_000 } = options;
  const { agentId = '', requestId = '' } = message;
  const request = { ...message, requestId: requestId === '' ? newRequestId() : requestId };
  let turnId = '';
  let cursor = '';
  let lostAt: number | undefined;
  let failures = 0;

  // Until the turn is known the request is sent again: its id makes it attach to the turn that it may have begun.
  const connect: Connect = (callOptions) =>
    turnId === ''
      ? engine.receive(request, callOptions)
      : engine.subscribe({ agentId, turnId, afterCursor: cursor, follow: true }, callOptions);

  for (;;) {
    let lost: ConnectError;
    try {
      for await (const event of readOnce(connect, signal, silenceMs)) {
        lostAt = undefined;
        turnId = event.turnId;
        if (event.cursor !== '') {
          cursor = event.cursor;
          failures = 0;
        }
        yield event;
        if (event.payload.case === 'turnEnded') return undefined;
      }
      lost = new ConnectError('the stream ended before the turn did', Code.Unavailable);
    } catch (error) {
      lost = ConnectError.from(error);
      if (!mayGoOn(lost)) throw lost;
    }
    lostAt ??= performance.now();
    const patienceMs = turnId === '' ? Math.min(giveUpAfterMs, FIRST_EVENT_MS) : giveUpAfterMs;
    if (performance.now() - lostAt > patienceMs) throw lost;
    await pause(Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures++), signal);
  }
}

/** Random; `crypto.randomUUID` is missing on pages that came over plain HTTP. */
function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

type Connect = (options: {
  signal: AbortSignal;
}) => AsyncIterable<{ readonly event?: AgentEvent | undefined }>;

/** The events of one stream, which is let go when its reader leaves or when it is silent for too long. */
async function* readOnce(
  connect: Connect,
  outer: AbortSignal | undefined,
  silenceMs: number,
): AsyncGenerator<AgentEvent, undefined> {
  const stream = new AbortController();
  const signal = outer === undefined ? stream.signal : AbortSignal.any([outer, stream.signal]);
  const responses = connect({ signal })[Symbol.asyncIterator]();
  let silent: ConnectError | undefined;
  const giveUp = () => {
    silent = new ConnectError(`the engine said nothing for ${silenceMs} ms`, Code.DeadlineExceeded);
    stream.abort(silent);
  };
  try {
    for (;;) {
      const silence = setTimeout(giveUp, silenceMs);
      const result = await responses.next().finally(() => clearTimeout(silence));
      if (result.done === true) return undefined;
      if (result.value.event !== undefined) yield result.value.event;
    }
  } catch (error) {
    throw silent ?? error;
  } finally {
    stream.abort();
  }
}

/** Waits for `delayMs`, less a random part, so that many clients do not come back all at once. */
function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer);
      reject(canceled(signal?.reason));
    };
    const timer = setTimeout(
      () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      },
      delayMs * (0.5 + Math.random() / 2),
    );
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Whether an error tells of the way to the server and not of the request. */
function mayGoOn(error: ConnectError): boolean {
  if (errorInfoOf(error) !== undefined) return error.code === Code.Unavailable;
  switch (error.code) {
    case Code.Unavailable:
    case Code.Unknown:
    case Code.Internal:
    case Code.Canceled:
    case Code.Aborted:
    case Code.DeadlineExceeded:
    case Code.DataLoss:
    case Code.InvalidArgument:
      // The last is Connect's word for a body that was cut amid an event. A server's own has an ErrorInfo.
      return true;
    default:
      return false;
  }
}
