import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { timestampNow } from '@bufbuild/protobuf/wkt';
import { AgentEventBatchSchema, AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { EventBatchSchema } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { EventBatch } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { address } from '../turn/envelope.ts';
import type { Envelope } from '../turn/envelope.ts';
import type { Payload, StepPlace } from '../turn/payload.ts';
import type { LiveEvent } from './live-turn.ts';

/** A batch of deltas is written this long after its first event. */
const FLUSH_MS = 100;
/** … or as soon as it holds so many bytes. */
const FLUSH_BYTES = 16 * 1024;
/** Past so many unwritten bytes the model's stream waits. */
const BACKLOG_BYTES = 1024 * 1024;

export interface TurnLogOptions extends Envelope {
  /** The agent's last sequence number before this holder's first. */
  readonly lastSeq: number;
  /** Writes deltas. Retries by itself; its failure ends the log. */
  readonly append: (batch: EventBatch) => Promise<unknown>;
  /** Called after each write with the time since the batch's first event was made. */
  readonly onWritten?: (lagMs: number) => void;
  /** Gives events to readers, in order. */
  readonly publish: (live: LiveEvent) => void;
  /** Called once when a write failed for good; nothing can be written any more. */
  readonly onFailed: (error: unknown) => void;
}

/**
 * Numbers a turn's events, writes them in order and shows them: deltas at once, facts once they are committed. A fact
 * carries all events before it in its transaction; while one is being committed later events wait, so that readers see
 * the order of the log.
 */
export interface TurnLog {
  /** An event that needs no commit of its own: readers see it at once, the log has it within moments. Nothing once the log has failed. */
  append(payload: Payload, place: StepPlace): void;
  /** Events that are facts: `write` commits them and all before them in one transaction, then readers see them. */
  commit<T>(
    payloads: readonly Payload[],
    place: StepPlace,
    write: (batch: EventBatch) => Promise<T>,
  ): Promise<T>;
  /** Fulfils when all events so far are in the log. Rejects when the log has failed. */
  flush(): Promise<void>;
  /** Undefined while the log keeps up, else what to wait for before more is appended. */
  backlog(): Promise<void> | undefined;
  readonly lastSeq: number;
}

interface Pending extends LiveEvent {
  readonly fact: boolean;
}

export function createTurnLog(options: TurnLogOptions): TurnLog {
  const { turnId, engineId, epoch } = options;
  let lastSeq = options.lastSeq;
  /** The batch that is being filled: encoded once, as the log keeps it. */
  let encoded = new BinaryWriter();
  let encodedBytes = 0;
  let firstSeq = lastSeq + 1;
  let firstMadeMs = 0;
  /** Events that readers have not seen, because a fact before them is not committed. */
  let unseen: Pending[] = [];
  let timer: NodeJS.Timeout | undefined;
  /** The batch has waited long enough, and goes as soon as the write under way is done. */
  let due = false;
  /** Writes happen one after the other. */
  let writes: Promise<unknown> = Promise.resolve();
  let writing = 0;
  let backlogBytes = 0;
  let failure: { readonly error: unknown } | undefined;

  function add(payload: Payload, place: StepPlace, fact: boolean): void {
    if (encodedBytes === 0) firstMadeMs = performance.now();
    const event = create(AgentEventSchema, {
      time: timestampNow(),
      step: place.step,
      attempt: place.attempt,
      payload,
    });
    const bytes = toBinary(AgentEventSchema, event);
    encoded.tag(AgentEventBatchSchema.field.events.number, WireType.LengthDelimited).bytes(bytes);
    encodedBytes += bytes.length;
    lastSeq += 1;
    const live = { seq: lastSeq, event: address(event, lastSeq, options), fact };
    if (fact || unseen.length > 0) unseen.push(live);
    else options.publish(live);
  }

  function takeBatch(): EventBatch {
    stopTimer();
    due = false;
    const batch = create(EventBatchSchema, {
      firstSeq: BigInt(firstSeq),
      lastSeq: BigInt(lastSeq),
      epoch,
      turnId,
      engineId,
      events: encoded.finish(),
    });
    encoded = new BinaryWriter();
    encodedBytes = 0;
    firstSeq = lastSeq + 1;
    return batch;
  }

  function show(upTo: number): void {
    const waiting = unseen;
    const next = waiting.findIndex((live) => live.fact && live.seq > upTo);
    unseen = next === -1 ? [] : waiting.slice(next);
    for (const live of next === -1 ? waiting : waiting.slice(0, next)) options.publish(live);
  }

  /** Writes what has been collected; each batch only after the one before it. */
  function write<T>(send: (batch: EventBatch) => Promise<T>): Promise<T> {
    const madeMs = firstMadeMs;
    const batch = takeBatch();
    const size = batch.events.length;
    backlogBytes += size;
    writing += 1;
    const written = writes.then(async () => {
      try {
        throwIfFailed();
        const answer = await send(batch);
        options.onWritten?.(performance.now() - madeMs);
        show(Number(batch.lastSeq));
        return answer;
      } catch (error) {
        fail(error);
        throw error;
      } finally {
        backlogBytes -= size;
        writing -= 1;
      }
    });
    writes = written.catch(() => undefined).then(flushIfDue);
    return written;
  }

  /** While a write is under way the batch may grow: one larger write is cheaper than two. */
  function flushIfDue(): void {
    if (failure !== undefined || writing > 0 || encodedBytes === 0) return;
    if (due || encodedBytes >= FLUSH_BYTES) flushInBackground();
  }

  function onTimer(): void {
    timer = undefined;
    due = true;
    flushIfDue();
  }

  function stopTimer(): void {
    clearTimeout(timer);
    timer = undefined;
  }

  function fail(error: unknown): void {
    if (failure !== undefined) return;
    failure = { error };
    stopTimer();
    options.onFailed(error);
  }

  function throwIfFailed(): void {
    if (failure !== undefined) throw failure.error;
  }

  /** A failure is told through onFailed. */
  function flushInBackground(): void {
    write(options.append).catch(() => undefined);
  }

  async function flush(): Promise<void> {
    throwIfFailed();
    if (encodedBytes > 0) await write(options.append);
    else await writes;
    throwIfFailed();
  }

  return {
    append: (payload, place) => {
      if (failure !== undefined) return;
      add(payload, place, false);
      flushIfDue();
      if (encodedBytes > 0 && !due) timer ??= setTimeout(onTimer, FLUSH_MS);
    },
    commit: (payloads, place, send) => {
      for (const payload of payloads) add(payload, place, true);
      return write(send);
    },
    flush,
    backlog: () => (backlogBytes + encodedBytes > BACKLOG_BYTES ? flush() : undefined),
    get lastSeq() {
      return lastSeq;
    },
  };
}
