import { sql } from 'kysely';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import type { TailEventsRequest } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import type { EventBatch } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import type { Database, Transaction } from '@agentx/service-kit';
import * as errors from './errors.ts';
import { toEventBatch } from './rows.ts';
import type { EventBatchRow, LeaseRow } from './rows.ts';
import type { LogSignals } from './signals.ts';
import { ofAgent } from './statements.ts';
import { requireTurn } from './turns.ts';

const PAGE_ROWS = 64;
/** A page ends with the row that reaches this size; one row may have 32 MiB. */
const PAGE_BYTES = 4 * 1024 * 1024;

export interface TailOptions {
  /** How often the log is read while nothing wakes the reader; undefined where every write passes this process. */
  readonly pollMs: number | undefined;
}

interface Place {
  readonly epoch: number;
  readonly seq: number;
}

/** Reads an agent's log row by row; a notification that comes while a page is read is not lost. */
export async function* tailEvents(
  database: Database,
  signals: LogSignals,
  options: TailOptions,
  tenantId: string,
  request: TailEventsRequest,
  signal: AbortSignal,
): AsyncGenerator<EventBatch> {
  const { agentId, turnId, follow } = request;
  const listener = signals.listen(tenantId, agentId);
  try {
    const start = await database.read({ tenantId }, (tx) => startOf(tx, tenantId, request));
    let place: Place = start.place;
    while (!signal.aborted) {
      const rows = await database.read({ tenantId }, (tx) => readPage(tx, tenantId, request, place));
      let bytes = 0;
      for (const row of rows) {
        yield toEventBatch(row);
        if (turnId !== '' && row.ends_turn !== 0) return;
        place = { epoch: row.epoch, seq: row.last_seq };
        bytes += row.events.byteLength;
      }
      if (rows.length === PAGE_ROWS || bytes >= PAGE_BYTES) continue;
      // Past the last event of an ended turn nothing will come.
      if (!follow || start.ended) return;
      await listener.next(options.pollMs, signal);
    }
  } finally {
    listener.close();
  }
}

/** Where to begin, and whether the turn asked for had ended before the first page was read. */
async function startOf(
  tx: Transaction,
  tenantId: string,
  request: TailEventsRequest,
): Promise<{ place: Place; ended: boolean }> {
  const { agentId, turnId, after } = request;
  const turn = turnId === '' ? undefined : await requireTurn(tx, tenantId, agentId, turnId);
  const ended = turn?.status === TurnStatus.ENDED;
  if (after === undefined)
    return { place: { epoch: turn?.start_epoch ?? 0, seq: turn?.start_seq ?? 0 }, ended };
  const [lease] = await tx.rows(
    sql<Pick<LeaseRow, 'epoch' | 'last_seq' | 'turn_id'>>`select epoch, last_seq, turn_id
        from ${tx.table('lease')} where ${ofAgent(tenantId, agentId)}`,
  );
  const epoch = lease?.epoch ?? 0;
  if (after.epoch > epoch)
    throw errors.invalidCursor(agentId, `it is of epoch ${after.epoch}, which is yet to come`);
  // A running turn's engine shows events before it writes them; an idle agent's log has them all.
  const idle = (lease?.turn_id ?? '') === '';
  const ahead = after.epoch === BigInt(epoch) && idle && after.seq > (lease?.last_seq ?? 0);
  if (ahead || after.seq > Number.MAX_SAFE_INTEGER)
    throw errors.invalidCursor(agentId, `it is of event ${after.seq}, which is yet to come`);
  return { place: { epoch: Number(after.epoch), seq: Number(after.seq) }, ended };
}

function readPage(
  tx: Transaction,
  tenantId: string,
  { agentId, turnId }: TailEventsRequest,
  after: Place,
): Promise<EventBatchRow[]> {
  const agent = ofAgent(tenantId, agentId);
  const ofTurn = turnId === '' ? sql`` : sql`and turn_id = ${turnId}`;
  // Epochs never decrease along the log, so this order is the order of the sequence numbers. An event that only its
  // engine saw is passed over for those of the next epoch, which may carry the same numbers. Sizes come first, so that
  // only what the page holds is read.
  return tx.rows(
    sql<EventBatchRow>`with found as (
          select epoch, last_seq, octet_length(events) as size from ${tx.table('event_batch')}
          where ${agent} and (epoch, last_seq) > (${after.epoch}, ${after.seq}) ${ofTurn}
          order by epoch, last_seq limit ${PAGE_ROWS}
        ), sized as (
          select epoch, last_seq, sum(size) over (order by epoch, last_seq) - size as size_before from found
        )
        select batch.epoch, batch.last_seq, first_seq, turn_id, engine_id, ends_turn, events
        from sized join ${tx.table('event_batch')} batch on ${ofAgent(tenantId, agentId, 'batch')}
          and batch.epoch = sized.epoch and batch.last_seq = sized.last_seq
        where size_before < ${PAGE_BYTES} order by batch.epoch, batch.last_seq`,
  );
}
