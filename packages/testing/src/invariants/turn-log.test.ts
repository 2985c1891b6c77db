import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from '@jest/globals';
import { AgentEventBatchSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { MessageSchema } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { ToolRunStatus, TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { readTurnLog, turnLogViolations } from './turn-log.ts';
import type { TurnLogRows } from './turn-log.ts';

type Rows = { -readonly [Table in keyof TurnLogRows]: Record<string, unknown>[] };
type Body = Parameters<typeof create<typeof MessageSchema>>[1] & object;

const key = { tenant_id: 't', agent_id: 'a' };
const batch = (epoch: number, first: number, last: number, over: Record<string, unknown> = {}) => ({
  ...key,
  epoch,
  first_seq: first,
  last_seq: String(last),
  turn_id: 'turn',
  engine_id: `engine-${epoch}`,
  ends_turn: 0,
  events: toBinary(
    AgentEventBatchSchema,
    create(AgentEventBatchSchema, { events: Array.from({ length: last - first + 1 }, () => ({})) }),
  ),
  ...over,
});
const message = (position: number, kind: string, body: Body) => ({
  ...key,
  position,
  turn_id: 'turn',
  kind,
  body: toBinary(MessageSchema, create(MessageSchema, body)),
});
const result = (position: number) =>
  message(position, 'toolResult', { body: { case: 'toolResult', value: { toolCallId: 'call' } } });

/** A turn that was taken over once, ran one tool and has ended. */
const sound = (): Rows => ({
  lease: [{ ...key, epoch: '2', turn_id: '', last_seq: 6, next_position: 5, floor_position: 0 }],
  turn: [
    {
      ...key,
      turn_id: 'turn',
      request_id: 'r',
      status: TurnStatus.ENDED,
      first_position: 1,
      start_seq: 0,
      end_seq: 6,
      stats: new Uint8Array(),
    },
  ],
  message: [
    message(1, 'user', { body: { case: 'user', value: {} } }),
    message(2, 'assistant', {
      body: {
        case: 'assistant',
        value: { content: [{ part: { case: 'toolUse', value: { toolCallId: 'call' } } }] },
      },
    }),
    result(3),
    message(4, 'assistant', { body: { case: 'assistant', value: {} } }),
  ],
  event_batch: [batch(1, 1, 2), batch(1, 3, 3), batch(2, 4, 5), batch(2, 6, 6, { ends_turn: 1 })],
  model_attempt: [],
  tool_run: [{ ...key, turn_id: 'turn', tool_call_id: 'call', status: ToolRunStatus.FINISHED }],
  outbox: [{ ...key, outbox_id: 'turn' }],
});

const broken: [string, RegExp, (rows: Rows) => void][] = [
  ['a lost user message', /I1: turn turn has 0/, ({ message: rows }) => rows.shift()],
  ['a user message twice', /I1: turn turn has 2/, ({ message: rows }) => rows.push({ ...rows[0]! })],
  ['a gap in the history', /I1: message 2/, ({ message: rows }) => rows.splice(1, 1)],
  ['a gap in the log', /I2: after event 3 comes 5/, ({ event_batch: rows }) => (rows[2] = batch(2, 5, 5))],
  ['a number used twice', /I2: after event 3 comes 3/, ({ event_batch: rows }) => (rows[2] = batch(2, 3, 5))],
  ['a lost end of the log', /I2: the lease stands at 6/, ({ event_batch: rows }) => rows.pop()],
  [
    'a batch that holds less than it says',
    /I2: batch 4 to 5 holds 1/,
    ({ event_batch: rows }) => (rows[2] = { ...rows[2]!, events: batch(2, 1, 1).events }),
  ],
  [
    'an epoch that goes back',
    /I3: event 6 goes back to epoch 1/,
    ({ event_batch: rows }) => (rows[3] = batch(1, 6, 6, { ends_turn: 1 })),
  ],
  [
    'two holders of an epoch',
    /I3: epoch 2 is of engine-2/,
    ({ event_batch: rows }) => (rows[3] = batch(2, 6, 6, { ends_turn: 1, engine_id: 'other' })),
  ],
  ['an epoch above the lease', /I3: the log is at epoch 2/, ({ lease }) => (lease[0]!['epoch'] = 1)],
  ['a call without a result', /I4: call call has no result/, ({ message: rows }) => rows.splice(2, 1)],
  ['two results', /I4: a result of call call/, ({ message: rows }) => (rows[3] = result(4))],
  [
    'an unfinished tool run',
    /I4: call call of an ended turn is not finished/,
    ({ tool_run: rows }) => (rows[0]!['status'] = ToolRunStatus.STARTED),
  ],
  ['a turn without statistics', /I6: turn turn has ended without/, ({ turn }) => (turn[0]!['stats'] = null)],
  [
    'a turn that ended twice',
    /ends 2 times/,
    ({ event_batch: rows }) => (rows[2] = batch(2, 4, 5, { ends_turn: 1 })),
  ],
  ['a turn that hangs', /1 turns have not ended/, ({ turn }) => (turn[0]!['status'] = TurnStatus.RUNNING)],
  ['nothing at all', /no turn at all/, (rows) => Object.assign(rows, { lease: [], turn: [] })],
  ['a lost request', /request r of agent a has 0 turns/, ({ turn }) => (turn[0]!['request_id'] = 'x')],
];

describe('the invariants of the turn log', () => {
  const expected = { allEnded: true, acknowledged: [{ agentId: 'a', requestId: 'r' }] };

  test('hold for a turn that went well', () => {
    expect(turnLogViolations(sound(), expected)).toEqual([]);
  });

  test.each(broken)('find %s', (_name, violation, spoil) => {
    const rows = sound();
    spoil(rows);
    expect(turnLogViolations(rows, expected).join('\n')).toMatch(violation);
  });

  test('are read from the tables as the database names them', async () => {
    const statements: string[] = [];
    const rows = await readTurnLog(async (statement) => {
      statements.push(statement);
      return [];
    }, 'agentx_session.');
    expect(statements[0]).toBe('select * from agentx_session.lease');
    expect(Object.keys(rows)).toEqual(Object.keys(sound()));
  });
});
