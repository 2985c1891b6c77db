import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { createCursorCodec } from '@agentx/service-kit';
import type { LogPlace } from '@agentx/service-kit';
import type { LiveEnd, LiveReader } from '../presenters/live-turn.ts';
import { actingFor } from '../stores.ts';
import type { Stores } from '../stores.ts';
import { readBatch } from './envelope.ts';
import type { RunningTurn } from '../running-turns.ts';

export interface FollowRequest {
  readonly tenantId: string;
  readonly agentId: string;
  /** Empty: events of all turns. */
  readonly turnId: string;
  /** Undefined: from the start of the turn, or the oldest event. */
  readonly after: LogPlace | undefined;
  /** Wait for events to come. */
  readonly follow: boolean;
}

/** A reader's progress through the log, shared by the ways of reading it. */
interface Progress {
  place: LogPlace | undefined;
}

/** Events in the order of the log, in groups as they come. */
export type EventGroups = AsyncGenerator<readonly AgentEvent[], void>;

/** Events of an agent after a place, from the log, and from this engine where it runs the turn. No gap, no duplicate. */
export async function* followLog(
  stores: Stores,
  running: RunningTurn | undefined,
  request: FollowRequest,
  signal: AbortSignal,
): EventGroups {
  const progress: Progress = { place: request.after };
  if (running !== undefined && request.follow) {
    while (!signal.aborted) {
      const reader = running.live.subscribe();
      const end = yield* withReader(reader, signal, () =>
        catchUp(stores, running, request, reader, progress, signal),
      );
      if (end === 'ended') return;
      if (end === 'lost') break;
    }
  }
  if (!signal.aborted) yield* readLog(stores, request, progress, signal);
}

/** Events of a turn that this engine has just begun, by a reader that was there first. */
export async function* followFromStart(
  stores: Stores,
  reader: LiveReader,
  request: FollowRequest,
  signal: AbortSignal,
): EventGroups {
  const progress: Progress = { place: request.after };
  const end = yield* withReader(reader, signal, () => readLive(reader, progress));
  if (end !== 'ended' && !signal.aborted) yield* readLog(stores, request, progress, signal);
}

async function* withReader(
  reader: LiveReader,
  signal: AbortSignal,
  read: () => AsyncGenerator<readonly AgentEvent[], LiveEnd>,
): AsyncGenerator<readonly AgentEvent[], LiveEnd> {
  const leave = () => {
    reader.close();
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    return yield* read();
  } finally {
    signal.removeEventListener('abort', leave);
    reader.close();
  }
}

/** The hand-over: what the reader missed comes from the log, then what it was given meanwhile, without what was sent. */
async function* catchUp(
  stores: Stores,
  running: RunningTurn,
  request: FollowRequest,
  reader: LiveReader,
  progress: Progress,
  signal: AbortSignal,
): AsyncGenerator<readonly AgentEvent[], LiveEnd> {
  // What readers have seen may not be in the log yet. A reader that leaves does not wait for it.
  const flushed = await unlessAborted(running.flush(), signal);
  if (flushed !== true) return 'lost';
  for await (const events of readLog(stores, { ...request, follow: false }, progress, signal)) {
    yield events;
  }
  // Another engine writes the turn by now, and this one is yet to notice.
  if (progress.place !== undefined && progress.place.epoch > reader.epoch) return 'lost';
  return yield* readLive(reader, progress);
}

/** The value, or undefined as soon as the signal aborts. */
async function unlessAborted<T>(value: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const leave = () => {
    resolve(undefined);
  };
  signal.addEventListener('abort', leave, { once: true });
  try {
    return await Promise.race([value, promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
}

async function* readLive(
  reader: LiveReader,
  progress: Progress,
): AsyncGenerator<readonly AgentEvent[], LiveEnd> {
  for (;;) {
    const next = await reader.next();
    if (typeof next === 'string') return next;
    const { place } = progress;
    const sent = place?.epoch === reader.epoch ? place.seq : 0n;
    const fresh = next[0] !== undefined && next[0].seq > sent ? next : next.filter(({ seq }) => seq > sent);
    const last = fresh.at(-1);
    if (last === undefined) continue;
    progress.place = { epoch: reader.epoch, seq: BigInt(last.seq) };
    yield fresh.map(({ event }) => event);
  }
}

async function* readLog(
  stores: Stores,
  { tenantId, agentId, turnId, follow }: FollowRequest,
  progress: Progress,
  signal: AbortSignal,
): EventGroups {
  const { place } = progress;
  const agent = { agentId, cursors: createCursorCodec(tenantId, agentId) };
  const rows = stores.session.tailEvents(
    { agentId, turnId, follow, ...(place && { after: place }) },
    actingFor(tenantId, { signal }),
  );
  for await (const { batch } of rows) {
    if (batch === undefined) continue;
    const after = progress.place;
    const events = readBatch(batch, agent);
    const fresh = after?.epoch === batch.epoch ? events.filter(({ seq }) => BigInt(seq) > after.seq) : events;
    progress.place = { epoch: batch.epoch, seq: batch.lastSeq };
    if (fresh.length > 0) yield fresh.map(({ event }) => event);
  }
}
