/**
 * Starts the engine and the three stores as four processes on loopback: `npm run services`.
 *
 * Options: --port-offset N shifts every port by N. The environment goes to all four, so AGENTX_DATABASE_URL decides the
 * database; what this script sets itself is set only where the environment does not.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';

const STOP_MS = 30_000;

interface Service {
  readonly name: string;
  readonly port: number;
  readonly env: Readonly<Record<string, string>>;
}

const { values } = parseArgs({ options: { 'port-offset': { type: 'string', default: '0' } } });
const offset = Number(values['port-offset']);
if (!Number.isInteger(offset) || offset < 0 || offset > 50_000) {
  console.error('--port-offset must be a whole number from 0 to 50000');
  process.exit(2);
}

const loopback = (port: number) => `127.0.0.1:${port + offset}`;
const database = {
  AGENTX_DATABASE_URL: process.env['AGENTX_DATABASE_URL'] ?? 'sqlite:.agentx/services/data',
};
const simulated =
  process.env['AGENTX_PROVIDER'] === undefined && !process.env['ANTHROPIC_API_KEY']
    ? { AGENTX_PROVIDER: 'simulated' }
    : {};
const services: Service[] = [
  { name: 'session-store', port: 8091, env: database },
  { name: 'stats-store', port: 8092, env: database },
  { name: 'state-store', port: 8093, env: database },
  {
    name: 'engine',
    port: 8081,
    env: {
      AGENTX_SESSION_STORE_URL: `ipv4:${loopback(8091)}`,
      AGENTX_STATS_STORE_URL: `ipv4:${loopback(8092)}`,
      AGENTX_STATE_STORE_URL: `ipv4:${loopback(8093)}`,
      AGENTX_WORKSPACE_ROOT: '.agentx/services/workspaces',
      AGENTX_AUTO_CREATE_AGENTS: 'true',
      AGENTX_ENGINE_ID: 'engine-1',
      ...simulated,
    },
  },
];

if ('AGENTX_PROVIDER' in simulated)
  console.log(
    'The model is simulated, because ANTHROPIC_API_KEY is not set. Set it to talk to Claude. (The engine gets AGENTX_PROVIDER=simulated.)',
  );

const running: { readonly name: string; readonly child: ChildProcess; readonly ended: Promise<unknown> }[] =
  [];
const stopping = new AbortController();

async function start({ name, port, env }: Service): Promise<void> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', `services/${name}/src/main.ts`],
    {
      env: { ...env, ...process.env, ...ownAddress(port) },
      stdio: ['ignore', 'pipe', 'inherit'],
      // In a process group of its own: Ctrl-C reaches this script alone, which then ends them in the right order.
      detached: true,
    },
  );
  const ended = once(child, 'exit');
  running.push({ name, child, ended });
  void ended.then(([code, signal]) => {
    if (stopping.signal.aborted) return;
    console.error(
      `${name} ended (${signal === null ? `exit code ${String(code)}` : String(signal)}); stopping the others`,
    );
    void stop(1);
  });
  // Each service says one line once it serves.
  await Promise.race([
    new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        process.stdout.write(chunk);
        resolve();
      });
    }),
    ended,
  ]);
}

const ownAddress = (port: number) => ({
  AGENTX_LISTEN: loopback(port),
  AGENTX_OPS_LISTEN: loopback(port + 1000),
});

/** In reverse order, so that the engine can still end its turns. */
async function stop(code: number): Promise<void> {
  if (stopping.signal.aborted) return;
  stopping.abort();
  for (const { child, ended } of running.toReversed()) {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    if (child.exitCode === null && child.signalCode === null) await ended;
    clearTimeout(timer);
  }
  process.exit(code);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void stop(0));
for (const service of services) {
  if (stopping.signal.aborted) break;
  await start(service);
}
