/**
 * What must be true of the session store's rows whatever went wrong: read from the database and checked here, without
 * any of the store's code.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { ToolRunStatus, TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';

type Row = Readonly<Record<string, unknown>>;
const tables = ['lease', 'turn', 'message', 'event_batch', 'model_attempt', 'tool_run', 'outbox'] as const;

/** Rows by table; numbers may come as text, as drivers give big ones. */
export type TurnLogRows = Readonly<Record<(typeof tables)[number], readonly Row[]>>;

export interface TurnLogExpectation {
  /** Requests that were acknowledged as accepted: each must have exactly one turn. */
  readonly acknowledged?: readonly { readonly agentId: string; readonly requestId: string }[];
  /** True when every turn must have ended. */
  readonly allEnded?: boolean;
}

/**
 * Reads the tables of a session store.
 * @param query runs one statement
 * @param prefix what stands before the tables' names: `agentx_session.` on PostgreSQL, nothing on SQLite
 */
export async function readTurnLog(
  query: (statement: string) => Promise<readonly Row[]>,
  prefix: string,
): Promise<TurnLogRows> {
  const found: [string, readonly Row[]][] = [];
  for (const table of tables) found.push([table, await query(`select * from ${prefix}${table}`)]);
  return Object.fromEntries(found) as unknown as TurnLogRows;
}

/**
 * Invariants I1 to I4 and the store's part of I6: the turns, leases, logs and histories that break one, in words. Empty
 * when all hold. A log without any turn is a violation too: it proves nothing.
 */
export function turnLogViolations(rows: TurnLogRows, expected: TurnLogExpectation = {}): string[] {
  const violations: string[] = [];
  if (rows.turn.length === 0) violations.push('there is no turn at all');
  for (const lease of rows.lease) {
    const name = `agent ${text(lease, 'tenant_id')}/${text(lease, 'agent_id')}`;
    const agent: Agent = {
      lease,
      turns: ofAgent(rows.turn, lease),
      messages: inOrder(ofAgent(rows.message, lease), 'position'),
      batches: inOrder(ofAgent(rows.event_batch, lease), 'last_seq'),
      toolRuns: ofAgent(rows.tool_run, lease),
      outbox: ofAgent(rows.outbox, lease),
    };
    const say = (violation: string) => violations.push(`${name}: ${violation}`);
    checkTurns(agent, expected, say);
    checkSequence(agent, say);
    checkEpochs(agent, say);
    checkHistory(agent, say);
    checkToolRuns(agent, say);
  }
  for (const { agentId, requestId } of expected.acknowledged ?? []) {
    const turns = rows.turn.filter(
      (turn) => text(turn, 'agent_id') === agentId && text(turn, 'request_id') === requestId,
    );
    if (turns.length !== 1)
      violations.push(`I1: request ${requestId} of agent ${agentId} has ${turns.length} turns`);
  }
  return violations;
}

interface Agent {
  readonly lease: Row;
  readonly turns: readonly Row[];
  readonly messages: readonly Row[];
  readonly batches: readonly Row[];
  readonly toolRuns: readonly Row[];
  readonly outbox: readonly Row[];
}

type Say = (violation: string) => void;

/** I1, I6: a turn has one user message, one end, one report; at most one turn runs, and the lease names it. */
function checkTurns(agent: Agent, { allEnded }: TurnLogExpectation, say: Say): void {
  const floor = number(agent.lease, 'floor_position');
  const unended = agent.turns.filter((turn) => number(turn, 'status') !== TurnStatus.ENDED);
  if (unended.length > (allEnded ? 0 : 1)) say(`${unended.length} turns have not ended`);
  if (text(agent.lease, 'turn_id') !== (unended[0] ? text(unended[0], 'turn_id') : ''))
    say(`the lease is of turn "${text(agent.lease, 'turn_id')}", which is not the one that runs`);
  for (const turn of agent.turns) {
    const turnId = text(turn, 'turn_id');
    const said = agent.messages.filter(
      (row) => text(row, 'turn_id') === turnId && text(row, 'kind') === 'user',
    );
    const cleared = number(turn, 'first_position') <= floor;
    const inPlace = said.length === 1 && number(said[0], 'position') === number(turn, 'first_position');
    if (cleared ? said.length > 0 : !inPlace) say(`I1: turn ${turnId} has ${said.length} user messages`);

    const batches = agent.batches.filter((row) => text(row, 'turn_id') === turnId);
    const ends = batches.filter((row) => number(row, 'ends_turn') !== 0);
    const ended = number(turn, 'status') === TurnStatus.ENDED;
    if (ends.length !== (ended ? 1 : 0)) say(`turn ${turnId} ends ${ends.length} times in its log`);
    if (!ended) continue;
    const last = batches.at(-1);
    if (number(last, 'ends_turn') === 0) say(`turn ${turnId} has events after its end`);
    if (number(last, 'last_seq') !== number(turn, 'end_seq')) say(`turn ${turnId} ends elsewhere in its log`);
    if (turn['stats'] === null) say(`I6: turn ${turnId} has ended without statistics`);
  }
  for (const entry of agent.outbox) {
    const turn = agent.turns.find((row) => text(row, 'turn_id') === text(entry, 'outbox_id'));
    if (number(turn, 'status') !== TurnStatus.ENDED) say(`I6: a report of a turn that has not ended`);
  }
}

/** I2: events are numbered from 1 without gaps, and each batch holds as many as it says. */
function checkSequence({ lease, batches }: Agent, say: Say): void {
  let last = 0;
  for (const batch of batches) {
    const [first, end] = [number(batch, 'first_seq'), number(batch, 'last_seq')];
    if (first !== last + 1) say(`I2: after event ${last} comes ${first}`);
    const { events } = fromBinary(AgentEventBatchSchema, bytes(batch, 'events'));
    if (events.length !== end - first + 1) say(`I2: batch ${first} to ${end} holds ${events.length} events`);
    last = end;
  }
  if (number(lease, 'last_seq') !== last)
    say(`I2: the lease stands at ${number(lease, 'last_seq')}, not ${last}`);
}

/** I3: epochs never decrease along the log, and each is of one engine. */
function checkEpochs({ lease, turns, batches }: Agent, say: Say): void {
  let epoch = 0;
  const holders = new Map<number, string>();
  for (const batch of batches) {
    const seq = number(batch, 'last_seq');
    if (number(batch, 'epoch') < epoch) say(`I3: event ${seq} goes back to epoch ${number(batch, 'epoch')}`);
    epoch = number(batch, 'epoch');
    if (text(batch, 'turn_id') === '') continue;
    const holder = `${text(batch, 'engine_id')} for turn ${text(batch, 'turn_id')}`;
    const before = holders.get(epoch) ?? holder;
    if (before !== holder) say(`I3: epoch ${epoch} is of ${before} and of ${holder}`);
    holders.set(epoch, holder);
    const turn = turns.find((row) => text(row, 'turn_id') === text(batch, 'turn_id'));
    if (seq <= number(turn, 'start_seq')) say(`I3: event ${seq} is before the start of its turn`);
  }
  if (epoch > number(lease, 'epoch')) say(`I3: the log is at epoch ${epoch}, above the lease's`);
}

/** I1, I4: positions have no gaps; every tool call has one result, before the next answer. */
function checkHistory({ lease, messages, turns }: Agent, say: Say): void {
  const floor = number(lease, 'floor_position');
  const visible = messages.filter((row) => number(row, 'position') > floor);
  for (const [index, row] of visible.entries())
    if (number(row, 'position') !== floor + 1 + index) say(`I1: message ${floor + 1 + index} is missing`);
  if (number(lease, 'next_position') !== floor + visible.length + 1)
    say(
      `I1: the next message would be ${number(lease, 'next_position')} after ${visible.length} above ${floor}`,
    );

  const open = new Map<string, string>();
  for (const row of visible) {
    const { body } = fromBinary(MessageSchema, bytes(row, 'body'));
    const turnId = text(row, 'turn_id');
    if (body.case === 'toolResult' && !open.delete(body.value.toolCallId))
      say(`I4: a result of call ${body.value.toolCallId} that nobody waits for`);
    if (body.case !== 'assistant') continue;
    for (const [call] of open) say(`I4: call ${call} has no result before the next answer`);
    open.clear();
    for (const { part } of body.value.content)
      if (part.case === 'toolUse') open.set(part.value.toolCallId, turnId);
  }
  for (const [call, turnId] of open) {
    const turn = turns.find((row) => text(row, 'turn_id') === turnId);
    if (number(turn, 'status') === TurnStatus.ENDED) say(`I4: call ${call} of an ended turn has no result`);
  }
}

/** I4: tool runs tell the same as the history. */
function checkToolRuns({ turns, toolRuns }: Agent, say: Say): void {
  for (const run of toolRuns) {
    const turn = turns.find((row) => text(row, 'turn_id') === text(run, 'turn_id'));
    const ended = number(turn, 'status') === TurnStatus.ENDED;
    if (ended && number(run, 'status') !== ToolRunStatus.FINISHED)
      say(`I4: call ${text(run, 'tool_call_id')} of an ended turn is not finished`);
  }
}

const ofAgent = (rows: readonly Row[], lease: Row) =>
  rows.filter((row) => row['tenant_id'] === lease['tenant_id'] && row['agent_id'] === lease['agent_id']);

const inOrder = (rows: readonly Row[], column: string) =>
  rows.toSorted((a, b) => number(a, column) - number(b, column));

const text = (row: Row, column: string): string => String(row[column]);

/** NaN where there is no row, which equals nothing. */
const number = (row: Row | undefined, column: string): number =>
  row === undefined || row[column] === null ? Number.NaN : Number(row[column]);

function bytes(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new TypeError(`column ${column} is no bytes`);
  return value;
}
