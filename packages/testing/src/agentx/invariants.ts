import { fromBinary, fromJsonString, toJsonString } from '@bufbuild/protobuf';
import { TokenUsageSchema, TurnStatsSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { turnLogViolations } from '../invariants/turn-log.ts';
import type { TurnLogRows } from '../invariants/turn-log.ts';
import type { Row, Stored } from './stored-rows.ts';

/**
 * What does not hold of the rows of a stopped system, in words; empty when all does. The invariants of the turn log
 * (`turnLogViolations`), and I6 over all stores: every turn has ended, the outbox is empty, and the statistics count each
 * turn once, with the figures that it ended with.
 *
 * @param acknowledged request ids that clients saw accepted, by agent
 */
export function checkStored(
  stored: Stored,
  acknowledged: Readonly<Record<string, readonly string[]>> = {},
): string[] {
  const log = Object.fromEntries(
    Object.entries(stored)
      .filter(([name]) => name.startsWith('session.'))
      .map(([name, rows]) => [name.slice('session.'.length), rows]),
  ) as unknown as TurnLogRows;
  const requests = Object.entries(acknowledged).flatMap(([agentId, ids]) =>
    ids.map((requestId) => ({ agentId, requestId })),
  );
  return [
    ...turnLogViolations(log, { acknowledged: requests, allEnded: true }),
    ...log.outbox.map((row) => `I6: turn ${String(row['outbox_id'])} is still in the outbox`),
    ...countViolations(log.turn, stored['stats.counted_turn'] ?? []),
  ];
}

function countViolations(turns: readonly Row[], counted: readonly Row[]): string[] {
  const known = new Set(turns.map((turn) => turn['turn_id']));
  const strangers = counted.filter((row) => !known.has(row['turn_id']));
  return [
    ...strangers.map((row) => `I6: turn ${String(row['turn_id'])} is counted and not known`),
    ...turns.flatMap((turn) => {
      const name = `turn ${String(turn['turn_id'])}`;
      const rows = counted.filter((row) => row['turn_id'] === turn['turn_id']);
      const [row] = rows;
      if (row === undefined || rows.length > 1) return [`I6: ${name} is counted ${rows.length} times`];
      const ended = figuresOfTurn(turn['stats'] as Uint8Array);
      const stands = figuresCounted(row);
      return ended === stands ? [] : [`I6: ${name} ended with ${ended}, and ${stands} is counted`];
    }),
  ];
}

/** The columns that are summed, and the whole as it came. */
function figuresOfTurn(bytes: Uint8Array): string {
  const stats = fromBinary(TurnStatsSchema, bytes);
  const figures = TokenUsageSchema.fields.map(({ localName }) =>
    String(stats.usage?.[localName as 'inputTokens'] ?? 0n),
  );
  return [...figures, String(stats.costMicroUsd ?? null), toJsonString(TurnStatsSchema, stats)].join(' ');
}

function figuresCounted(row: Row): string {
  const figures = TokenUsageSchema.fields.map(({ name }) => String(row[name]));
  const stats = fromJsonString(TurnStatsSchema, String(row['stats']));
  return [...figures, String(row['cost_micro_usd']), toJsonString(TurnStatsSchema, stats)].join(' ');
}
