import { fromBinary, toJson } from '@bufbuild/protobuf';
import type { DescMessage } from '@bufbuild/protobuf';
import { AgentConfigSchema } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import { AgentEventBatchSchema, AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { ErrorMessageSchema, MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { TokenUsageSchema, TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { Row, Stored } from './stored-rows.ts';

/** The columns that hold serialized messages. */
const BLOBS: Readonly<Record<string, DescMessage>> = {
  'session.message.body': MessageSchema,
  'session.turn.config': AgentConfigSchema,
  'session.turn.error': ErrorMessageSchema,
  'session.turn.stats': TurnStatsSchema,
  'session.model_attempt.usage': TokenUsageSchema,
};

const UUID = /[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}/g;
const TIME = /^20\d\d-\d\d-\d\dT[\d:.]+Z$/;

/**
 * Takes out what two runs of the same scenario may not have in common: an id becomes its number in the order in which ids
 * appear, a time becomes TIME, a duration MS. Everything else stays, and so does that a time is missing or zero.
 */
export function createNormaliser(): (value: unknown) => unknown {
  const ids = new Map<string, string>();
  const nameOf = (id: string): string => {
    const known = ids.get(id);
    if (known !== undefined) return known;
    const name = `id-${ids.size + 1}`;
    ids.set(id, name);
    return name;
  };
  const normalise = (value: unknown, key = ''): unknown => {
    if (typeof value === 'string') {
      if (TIME.test(value)) return 'TIME';
      if (/(?:duration|ttft)Ms$/.test(key)) return 'MS';
      return value.replace(UUID, nameOf);
    }
    if (typeof value === 'number' && key.endsWith('_ms') && value > 0) return 'TIME';
    if (Array.isArray(value)) return value.map((item: unknown) => normalise(item));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, normalise(item, name)]));
  };
  return normalise;
}

/**
 * Stored rows in words: serialized messages as JSON, other bytes as hex, JSON text as what it says. The log is one row an
 * event: where a batch ends depends on the time alone.
 */
export function readableRows(stored: Stored): Record<string, unknown[]> {
  return Object.fromEntries(
    Object.entries(stored)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([table, rows]) => [
        table,
        table === 'session.event_batch' ? rowsOfEvents(rows) : rows.map((row) => readableRow(table, row)),
      ]),
  );
}

function readableRow(table: string, row: Row): Record<string, unknown> {
  // The order of columns is none of the stores' promises.
  const columns = Object.keys(row).toSorted();
  return Object.fromEntries(
    columns.map((column) => [column, readableValue(row[column], BLOBS[`${table}.${column}`])]),
  );
}

function readableValue(value: unknown, schema: DescMessage | undefined): unknown {
  if (value instanceof Uint8Array)
    return schema ? toJson(schema, fromBinary(schema, value)) : Buffer.from(value).toString('hex');
  return typeof value === 'string' && value.startsWith('{') ? JSON.parse(value) : value;
}

function rowsOfEvents(rows: readonly Row[]): unknown[] {
  return rows.flatMap(({ events: bytes, first_seq: first, last_seq: last, ends_turn: ends, ...row }) => {
    const batch = fromBinary(AgentEventBatchSchema, bytes as Uint8Array);
    return batch.events.map((event, index) => {
      const seq = Number(first) + index;
      const ends_turn = seq === Number(last) ? ends : 0;
      return { ...row, seq, ends_turn, event: toJson(AgentEventSchema, event) };
    });
  });
}
