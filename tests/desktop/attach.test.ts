import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Code, ConnectError } from '@connectrpc/connect';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import {
  bounded,
  checkStored,
  collect,
  collectUntil,
  eventsToJson,
  hold,
  logged,
  onlyPayload,
  readInParts,
  readSqlite,
  startDesktop,
  startScriptedModel,
  streamedText,
  temporaryFolder,
  text,
  toolUse,
  waitForOutbox,
} from '@agentx/testing';
import type { Desktop, ScriptedModel, TemporaryFolder } from '@agentx/testing';

let model: ScriptedModel;
let folder: TemporaryFolder;
let desktop: Desktop;

beforeAll(async () => {
  model = await startScriptedModel();
  folder = await temporaryFolder();
  desktop = await startDesktop({
    folder: folder.path,
    env: { ANTHROPIC_API_KEY: 'sk-test', ANTHROPIC_BASE_URL: model.url },
  });
}, 40_000);

afterAll(async () => {
  await desktop.stop();
  await model.close();
  await folder.remove();
});

const receive = (agentId: string, requestId: string, value: string, signal = bounded().signal) =>
  desktop.engine.receive({ agentId, requestId, input: { case: 'text', value } }, { signal });

const follow = (agentId: string, turnId: string, afterCursor = '') =>
  collect(desktop.engine.subscribe({ agentId, turnId, afterCursor, follow: true }, bounded()));

/** An answer that stops after its first two pieces until it may go on. */
function heldAnswer() {
  const gate = Promise.withResolvers<undefined>();
  const answer = text('one two three', { chunks: ['one ', 'two ', 'three'] });
  return { reply: hold(answer, gate.promise, 5), goOn: () => gate.resolve(undefined) };
}

test('a client that leaves stops nothing: the turn goes on, and all of it can be read', async () => {
  const { reply, goOn } = heldAnswer();
  model.push([text('I look.'), toolUse('bash', { command: 'echo found' })], reply);
  const leaving = new AbortController();
  const seen = await collectUntil(
    receive('leaver', 'left', 'Look.', leaving.signal),
    ({ payload }) => payload.case === 'textDelta' && payload.value.text === 'two ',
  );
  leaving.abort();
  goOn();
  const all = await follow('leaver', seen[0]!.turnId);
  expect(onlyPayload(all, 'turnEnded').stopReason).toBe(StopReason.END_TURN);
  expect(streamedText(all)).toBe('I look.one two three');
  expect(eventsToJson(all.slice(0, seen.length - 1))).toEqual(eventsToJson(logged(seen)));
  const rest = await follow('leaver', seen[0]!.turnId, seen.at(-1)!.cursor);
  expect(eventsToJson(logged(seen).concat(rest))).toEqual(eventsToJson(all));
  await expect(model.requests.at(-1)!.done).resolves.toBe('answered');
});

test('the same request twice at once is one turn: both get the same events', async () => {
  const { reply, goOn } = heldAnswer();
  model.push(reply);
  const before = model.requests.length;
  const streams = [1, 2, 3].map(() => collect(receive('twice', 'same', 'Count.')));
  await model.waitForRequest(before + 1);
  goOn();
  const [first, ...others] = await Promise.all(streams);
  for (const other of others) expect(eventsToJson(logged(other))).toEqual(eventsToJson(logged(first!)));
  const accepted = (await Promise.all(streams)).map((events) => onlyPayload(events, 'turnAccepted'));
  expect(accepted.map(({ deduplicated }) => deduplicated).sort()).toEqual([false, true, true]);
  expect(new Set(accepted.map(({ requestId }) => requestId))).toEqual(new Set(['same']));

  const later = await collect(receive('twice', 'same', 'Count.'));
  expect(onlyPayload(later, 'turnAccepted').deduplicated).toBe(true);
  expect(eventsToJson(logged(later))).toEqual(eventsToJson(logged(first!)));
  expect(model.requests).toHaveLength(before + 1);
  const { turns } = await desktop.engine.listTurns({ agentId: 'twice' });
  expect(turns).toHaveLength(1);
});

test('readers that come amid a turn get all of it, without a gap or a duplicate', async () => {
  const { reply, goOn } = heldAnswer();
  model.push(reply);
  const stream = readInParts(receive('watched', 'watched', 'Count.'));
  const [accepted] = await stream.until(({ payload }) => payload.case === 'turnAccepted');
  const { turnId } = accepted!;
  const whole = stream.rest();
  const early = follow('watched', turnId);
  const half = await collectUntil(
    desktop.engine.subscribe({ agentId: 'watched', follow: true }, bounded()),
    ({ payload }) => payload.case === 'textDelta' && payload.value.text === 'two ',
  );
  const late = follow('watched', turnId, half.at(-3)!.cursor);
  const allTurns = collectUntil(
    desktop.engine.subscribe({ agentId: 'watched', follow: true }, bounded()),
    ({ payload }) => payload.case === 'turnEnded',
  );
  goOn();
  const expected = eventsToJson(logged(await whole));
  expect(eventsToJson(await early)).toEqual(expected);
  expect(eventsToJson(await allTurns)).toEqual(expected);
  expect(eventsToJson([...half.slice(0, -2), ...(await late)])).toEqual(expected);
});

test('a busy agent refuses another message and names the turn; afterwards it takes it', async () => {
  const { reply, goOn } = heldAnswer();
  model.push(reply, text('Now.'));
  const before = model.requests.length;
  const running = collect(receive('busy', 'first', 'Count.'));
  await model.waitForRequest(before + 1);
  const refused = await collect(receive('busy', 'second', 'Me too.')).then(
    () => undefined,
    (error: unknown) => ConnectError.from(error),
  );
  expect(refused?.code).toBe(Code.Aborted);
  const [info] = refused?.findDetails(ErrorInfoSchema) ?? [];
  const { turns } = await desktop.engine.listTurns({ agentId: 'busy' });
  expect(turns).toHaveLength(1);
  expect(info).toMatchObject({
    domain: 'agentx',
    reason: 'TURN_IN_PROGRESS',
    metadata: { turn_id: turns[0]!.turnId },
  });
  goOn();
  await running;
  expect(streamedText(await collect(receive('busy', 'second', 'Me too.')))).toBe('Now.');
  const { messages } = await desktop.engine.listMessages({ agentId: 'busy' });
  expect(messages).toHaveLength(4);
});

test('what was stored is sound', async () => {
  expect(model.rejections).toEqual([]);
  expect(model.scriptErrors).toEqual([]);
  await waitForOutbox(() => readSqlite(desktop.databases));
  expect((await desktop.engine.getUsage({})).total?.turns).toBe(5n);
  await desktop.stop();
  const acknowledged = {
    leaver: ['left'],
    twice: ['same'],
    watched: ['watched'],
    busy: ['first', 'second'],
  };
  expect(checkStored(readSqlite(desktop.databases), acknowledged)).toEqual([]);
});
