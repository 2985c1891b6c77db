import { freePort, requirePart, startProcess, temporaryFolder, waitFor } from '@agentx/testing';
import type { RunningProcess } from '@agentx/testing';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { root } from './servers.ts';

/** Envoy, as `deploy/envoy` configures it, with ports of its own. */
export interface Edge extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly address: string;
  readonly process: RunningProcess;
  /** Addresses of the engines that it sends calls to. */
  healthyEngines(): Promise<string[]>;
  /** Waits until calls go to exactly these. */
  untilHealthy(...addresses: string[]): Promise<void>;
  /** Moves another list of engines into the place of the one that it reads. */
  replaceEngines(addresses: readonly string[]): Promise<void>;
  /** The calls that were answered, as it logs them; the last ones may not be there yet. */
  accessLog(): Record<string, unknown>[];
}

/** Envoy's own opinion, and each way in which a host has failed. */
type Health = { eds_health_status?: string } & Record<string, unknown>;

interface ClusterStatus {
  name: string;
  host_statuses?: {
    address: { socket_address: { address: string; port_value: number } };
    health_status: Health;
  }[];
}

/** The file as it is in `deploy/envoy`, with what differs here replaced; each must be there. */
async function renderEnvoy(
  name: string,
  replacements: readonly (readonly [string, string])[],
): Promise<string> {
  let text = await readFile(join(root, 'deploy/envoy', name), 'utf8');
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`deploy/envoy/${name} no longer has "${from}"`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** Starts Envoy before these engines and waits until it knows that all of them are well. */
export async function startEdge(engines: readonly string[]): Promise<Edge> {
  const { path: envoy } = await requirePart('envoy');
  await using ends = new AsyncDisposableStack();
  const folder = ends.use(await temporaryFolder('agentx-edge-'));
  const [port, adminPort] = [await freePort(), await freePort()];
  const config = join(folder.path, 'envoy.yaml');
  const enginesFile = join(folder.path, 'engines.yaml');
  await writeFile(enginesFile, await renderEngines(engines));
  await writeFile(
    config,
    await renderEnvoy('envoy.yaml', [
      ['port_value: 8080', `port_value: ${port}`],
      ['port_value: 9901', `port_value: ${adminPort}`],
      ['deploy/envoy/engines.yaml', enginesFile],
    ]),
  );
  const admin = `http://127.0.0.1:${adminPort}`;
  const running = ends.use(
    await startProcess({
      name: 'envoy',
      command: envoy,
      args: ['-c', config, '--log-level', 'warning', '--concurrency', '2', '--use-dynamic-base-id'],
      ready: { probe: async () => (await fetch(`${admin}/ready`)).ok },
      readyTimeoutMs: 30_000,
    }),
  );
  const healthyEngines = () => readHealthy(admin);
  const untilHealthy = async (...addresses: string[]) => {
    const wanted = addresses.toSorted().join();
    await waitFor(async () => (await healthyEngines()).join() === wanted, {
      what: `the edge to send calls to ${wanted === '' ? 'nobody' : wanted}`,
      timeoutMs: 20_000,
    });
  };
  await untilHealthy(...engines);
  const owned = ends.move();
  return {
    address: `127.0.0.1:${port}`,
    process: running,
    healthyEngines,
    untilHealthy,
    replaceEngines: async (addresses) => {
      await writeFile(`${enginesFile}.new`, await renderEngines(addresses));
      await rename(`${enginesFile}.new`, enginesFile);
    },
    accessLog: () =>
      running.stdout
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The engines that Envoy holds for well, by its admin address. */
async function readHealthy(admin: string): Promise<string[]> {
  const response = await fetch(`${admin}/clusters?format=json`);
  const { cluster_statuses: clusters } = (await response.json()) as { cluster_statuses: ClusterStatus[] };
  const hosts = clusters.find(({ name }) => name === 'engines')?.host_statuses ?? [];
  const isWell = ({ eds_health_status: own, ...failed }: Health) =>
    own === 'HEALTHY' && Object.keys(failed).length === 0;
  return hosts
    .filter(({ health_status: health }) => isWell(health))
    .map(({ address: { socket_address: at } }) => `${at.address}:${at.port_value}`)
    .sort();
}

async function renderEngines(addresses: readonly string[]): Promise<string> {
  const text = await renderEnvoy('engines.yaml', []);
  const entries = text.split('\n').filter((line) => line.includes('port_value'));
  const [entry = ''] = entries;
  const head = text.slice(0, text.indexOf(entry));
  const lines = addresses.map((address) => entry.replace('8081', address.split(':')[1] ?? ''));
  return `${head}${lines.join('\n')}\n`;
}
