import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import {
  bounded,
  checkStored,
  collect,
  eventsToJson,
  hold,
  logged,
  onlyPayload,
  processesWith,
  readSqlite,
  startScriptedModel,
  startServices,
  streamedText,
  temporaryFolder,
  text,
  toolUse,
  waitFor,
  waitForOutbox,
} from '@agentx/testing';
import type { ScriptedModel, Services, TemporaryFolder } from '@agentx/testing';
import { join } from 'node:path';

const AGENT = 'a1';

let model: ScriptedModel;
let folder: TemporaryFolder;
let services: Services;

beforeEach(async () => {
  model = await startScriptedModel();
  folder = await temporaryFolder();
});

afterEach(async () => {
  await services.stop();
  await model.close();
  await folder.remove();
});

const databases = () => join(folder.path, 'databases');

async function start(env: NodeJS.ProcessEnv): Promise<void> {
  services = await startServices({
    databaseUrl: `sqlite:${databases()}`,
    folder: folder.path,
    env: { ANTHROPIC_API_KEY: 'sk-test', ANTHROPIC_BASE_URL: model.url, ...env },
  });
}

const say = (value: string, requestId: string) =>
  collect(services.engine.receive({ agentId: AGENT, requestId, input: { case: 'text', value } }, bounded()));

/** A turn whose engine ended right after it is counted when the next one starts. */
async function areCounted(turns: bigint): Promise<void> {
  await waitForOutbox(() => readSqlite(databases()));
  expect((await services.engine.getUsage({})).total?.turns).toBe(turns);
}

/** What a terminal does: the signal goes to the script and to everything that it started. */
function pressControlC(): void {
  process.kill(-services.process.pid, 'SIGINT');
}

test('Ctrl-C lets a running turn end, and all four end in good order', async () => {
  await start({ AGENTX_DRAIN_MS: '15000' });
  const gate = Promise.withResolvers<undefined>();
  model.push(hold(text('one two', { chunks: ['one ', 'two'] }), gate.promise, 4));
  const stream = say('Count.', 'counting');
  await model.waitForRequest(1);
  pressControlC();
  await services.process.waitForLine(/"name":"engine".*"msg":"ending"/);
  gate.resolve(undefined);
  const events = await stream;
  expect(streamedText(events)).toBe('one two');
  expect(onlyPayload(events, 'turnEnded').stopReason).toBe(StopReason.END_TURN);
  expect(await services.process.exited).toEqual({ code: 0, signal: null });

  await start({});
  await areCounted(1n);
  await services.stop();
  expect(checkStored(readSqlite(databases()), { [AGENT]: ['counting'] })).toEqual([]);
}, 60_000);

test('Ctrl-C ends a turn that goes on for too long, and says so', async () => {
  await start({ AGENTX_DRAIN_MS: '0' });
  const marker = `3000${Date.now()}`;
  model.push(toolUse('bash', { command: `echo begun; sleep ${marker}` }));
  const stream = say('Sleep.', 'sleeping');
  await waitFor(() => processesWith(`sleep ${marker}`).length > 0, { what: 'the command to sleep' });
  pressControlC();
  const events = await stream;
  expect(onlyPayload(events, 'turnEnded')).toMatchObject({
    stopReason: StopReason.ERROR,
    reason: 'ENGINE_STOPPED',
  });
  expect(await services.process.exited).toEqual({ code: 0, signal: null });
  expect(processesWith(marker)).toEqual([]);

  model.push(text('Still here.'));
  await start({});
  const log = await collect(services.engine.subscribe({ agentId: AGENT }, bounded()));
  expect(eventsToJson(log)).toEqual(eventsToJson(logged(events)));
  expect(streamedText(await say('Go on.', 'next'))).toBe('Still here.');
  expect(model.rejections).toEqual([]);
  await areCounted(2n);
  await services.stop();
  const acknowledged = { [AGENT]: ['sleeping', 'next'] };
  expect(checkStored(readSqlite(databases()), acknowledged)).toEqual([]);
}, 60_000);
