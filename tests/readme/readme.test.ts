import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  agentxEnvironment,
  bounded,
  collect,
  connectEngine,
  freePort,
  readPostgres,
  requirePart,
  runCommand,
  startPostgres,
  startProcess,
  streamedText,
  temporaryFolder,
} from '@agentx/testing';
import type { RunningProcess, TemporaryFolder } from '@agentx/testing';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Examples after this heading are not for the first minutes. */
const END_OF_EXAMPLES = '\n## What it promises today';
const README_ADDRESS = '127.0.0.1:8080';

interface Example {
  readonly language: string;
  readonly text: string;
}

let examples: Example[];
const run = new Set<Example>();
let folder: TemporaryFolder;
let server: RunningProcess;
let address: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const end = readme.indexOf(END_OF_EXAMPLES);
  expect(end).toBeGreaterThan(0);
  examples = [...readme.slice(0, end).matchAll(/^```(sh|ts)\n(.*?)^```$/gms)].map(([, language, text]) => ({
    language: language!,
    text: text!,
  }));
  folder = await temporaryFolder();
  const [grpcurl, curl] = await Promise.all([requirePart('grpcurl'), requirePart('curl')]);
  const path = [dirname(grpcurl.path), dirname(curl.path), process.env['PATH']].join(delimiter);
  const port = await freePort();
  address = `127.0.0.1:${port}`;
  env = agentxEnvironment({ PATH: path });

  const start = example(/^npm ci\nnpm start\n$/);
  server = await startProcess({
    name: 'npm start',
    command: 'bash',
    // What `npm ci` does was done before the tests could run.
    args: ['--norc', '-euc', start.text.replace('npm ci\n', '')],
    cwd: ROOT,
    env: {
      ...env,
      AGENTX_LISTEN: address,
      AGENTX_DATABASE_URL: `sqlite:${join(folder.path, 'data')}`,
      AGENTX_WORKSPACE_ROOT: join(folder.path, 'workspaces'),
    },
    ready: /AgentX on http/,
    readyTimeoutMs: 30_000,
  });
}, 60_000);

afterAll(async () => {
  await server.stop();
  await folder.remove();
});

/** The one example that matches; it counts as run. */
function example(pattern: RegExp): Example {
  const [found, ...more] = examples.filter(({ text }) => text.search(pattern) >= 0);
  if (found === undefined || more.length > 0)
    throw new Error(`README.md has ${more.length + (found ? 1 : 0)} examples like ${String(pattern)}`);
  run.add(found);
  return found;
}

/** Runs an example as it stands, but for the address. */
async function runShell({ text }: Example): Promise<string> {
  expect(text).toContain(README_ADDRESS);
  const script = text.replaceAll(README_ADDRESS, address);
  const { code, stdout, stderr } = await runCommand('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
    cwd: ROOT,
    env,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout.toString();
}

type Json = Record<string, unknown>;

/** JSON values that follow each other, as grpcurl and curl write them. */
const readJson = (output: string): Json[] =>
  output
    .trim()
    .split(/\n(?=\{)|(?<=\})(?=\{)/)
    .map((text) => JSON.parse(text) as Json);

const eventsOf = (messages: Json[]) => messages.flatMap(({ event }) => (event ? [event as Json] : []));
const textOf = (events: Json[]) =>
  events.map(({ textDelta }) => (textDelta as { text: string } | undefined)?.text ?? '').join('');

describe('the first screen', () => {
  test('npm start: it says where it serves and who answers', () => {
    expect(server.stdout.filter((line) => line.startsWith('AgentX'))).toEqual([
      expect.stringMatching(new RegExp(`^AgentX on http://${address}\\. .*simulated.*ANTHROPIC_API_KEY`)),
    ]);
    expect(server.stderr).toEqual([]);
  });

  test('grpcurl: the first message creates the agent', async () => {
    const events = eventsOf(readJson(await runShell(example(/"text":"hello"/))));
    expect(events[0]).toMatchObject({
      agentId: 'a1',
      turnAccepted: { deduplicated: false, notice: expect.stringContaining('simulated') },
    });
    expect(textOf(events)).toContain('You said: hello');
    expect(events.at(-1)).toMatchObject({ turnEnded: { stopReason: 'STOP_REASON_END_TURN' } });
  });

  test('grpcurl: a command in the project folder, and the history', async () => {
    const answers = readJson(await runShell(example(/!bash/)));
    const events = eventsOf(answers);
    expect(events.map((event) => Object.keys(event).at(-1))).toEqual(
      expect.arrayContaining(['toolPlanned', 'toolExecuting', 'toolOutputDelta', 'toolCompleted']),
    );
    expect(textOf(events)).toContain('note.txt');
    expect(answers.at(-1)?.['messages']).toMatchObject([
      { position: 1, user: { content: [{ text: { text: 'hello' } }] } },
      { position: 2, assistant: {} },
      { position: 3, user: {} },
      { position: 4, assistant: {} },
      { position: 5, toolResult: { content: 'note.txt\n', outcome: 'TOOL_OUTCOME_OK' } },
      { position: 6, assistant: {} },
    ]);
    const note = join(folder.path, 'workspaces/a1/project/note.txt');
    expect(await readFile(note, 'utf8')).toBe('hi\n');
  });

  test('curl: history and usage as plain JSON', async () => {
    const [history, usage, ...rest] = readJson(await runShell(example(/^curl /)));
    expect(rest).toEqual([]);
    expect(history?.['messages']).toHaveLength(6);
    expect(usage).toMatchObject({ total: { usage: { inputTokens: expect.stringMatching(/^\d+$/) } } });
  });

  test('the typed client: it compiles, and shows the answer', async () => {
    const { language, text } = example(/createAgentxClient/);
    expect(language).toBe('ts');
    const project = join(folder.path, 'client');
    await runCommand('mkdir', [project]);
    await symlink(join(ROOT, 'node_modules'), join(project, 'node_modules'));
    await writeFile(join(project, 'package.json'), JSON.stringify({ type: 'module' }));
    await writeFile(join(project, 'example.ts'), text.replaceAll(README_ADDRESS, address));
    const settings = {
      extends: join(ROOT, 'tsconfig.json'),
      include: ['example.ts'],
      compilerOptions: { types: ['node'] },
    };
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(settings));

    const at = { cwd: project, env };
    const [compiled, shown] = await Promise.all([
      runCommand(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', project], at),
      runCommand(process.execPath, ['example.ts'], at),
    ]);
    expect({ code: shown.code, stderr: shown.stderr }).toEqual({ code: 0, stderr: '' });
    expect(shown.stdout.toString()).toContain('You said: hello again');
    expect({ code: compiled.code, output: compiled.stdout.toString() }).toEqual({ code: 0, output: '' });
  });
});

test('npm run services: four processes on PostgreSQL', async () => {
  await using postgres = await startPostgres();
  const url = await postgres.createDatabase('agentx');
  const { text } = example(/npm run services/);
  const line = text.trim();
  expect(line).toContain('postgres://agentx:secret@127.0.0.1:5432/agentx');
  const port = await freePort();
  await using services = await startProcess({
    name: 'npm run services',
    command: 'bash',
    args: [
      '--norc',
      '-euc',
      `${line.replace('postgres://agentx:secret@127.0.0.1:5432/agentx', url)} -- --port-offset ${port - 8081}`,
    ],
    cwd: ROOT,
    env: { ...env, AGENTX_WORKSPACE_ROOT: join(folder.path, 'shared') },
    ready: /AgentX engine \S+ on http/,
    readyTimeoutMs: 45_000,
    stopTimeoutMs: 20_000,
  });
  expect(services.stdout.filter((said) => /^AgentX|simulated/.test(said))).toEqual([
    expect.stringContaining('The model is simulated, because ANTHROPIC_API_KEY is not set.'),
    `AgentX session-store on 127.0.0.1:${port + 10}`,
    `AgentX stats-store on 127.0.0.1:${port + 11}`,
    `AgentX state-store on 127.0.0.1:${port + 12}`,
    expect.stringContaining(`AgentX engine engine-1 on http://127.0.0.1:${port}`),
  ]);
  const { engine, close } = connectEngine(`http://127.0.0.1:${port}`);
  try {
    const said = await collect(
      engine.receive({ agentId: 'a1', input: { case: 'text', value: 'hello' } }, bounded()),
    );
    expect(streamedText(said)).toContain('You said: hello');
  } finally {
    close();
  }
  await services.stop();
  expect(services.stderr.filter((line) => line.includes('stopping the others'))).toEqual([]);
  const stored = await readPostgres(postgres.url.replace(/\/postgres$/, '/agentx'));
  expect(stored['session.message']).toHaveLength(2);
  expect(stored['state.agent_record']).toHaveLength(1);
}, 60_000);

test('every example was run', () => {
  expect(examples.filter((one) => !run.has(one)).map(({ text }) => text)).toEqual([]);
  expect(examples.length).toBeGreaterThanOrEqual(6);
});
