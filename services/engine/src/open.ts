import type { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { makeOwnFolder } from '@agentx/service-kit';
import type { Logger, Metrics, ProviderChoice, ServiceDefinition } from '@agentx/service-kit';
import type { EngineConfig } from './config.ts';
import { createAnthropicDriver } from './driver/anthropic.ts';
import type { Driver } from './driver/driver.ts';
import { createSimulatedDriver, SIMULATED_MODEL } from './driver/simulated.ts';
import { createEngine } from './engine.ts';
import { createEngineMetrics } from './metrics.ts';
import { observeDriver } from './observe-driver.ts';
import { observeEngine } from './observe-engine.ts';
import { observeToolbox } from './observe-toolbox.ts';
import { priceUsage } from './pricing/pricing.ts';
import { createEngineService } from './service.ts';
import type { Stores } from './stores.ts';
import { createBashTool } from './tools/bash.ts';
import { prepareSandbox } from './tools/prepare-sandbox.ts';
import { createToolbox } from './tools/toolbox.ts';
import { watchWork } from './worker.ts';
import { openProjectFolder } from './workspace/project-folder.ts';

const HEARTBEAT_MS = 15_000;

const SYSTEM_PROMPT = `You are an agent that works in a project folder of its own, /project, on a Linux machine.
Use the bash tool to look at files, change them and run programs; the working directory carries over from one call to the
next, and only /project and /tmp can be written. Check what you did before you say that it is done. Be brief.`;

export interface OpenedEngine {
  readonly definition: ServiceDefinition<typeof EngineService>;
  /** What every answer says of this engine; empty when there is nothing to say. */
  readonly notice: string;
  /** Accepts no new turns, lets the running ones finish for a while, and stops watching for work. */
  drain(): Promise<void>;
}

/** Puts an engine together and starts its watch for work. */
export async function openEngine(
  config: EngineConfig,
  stores: Stores,
  metrics: Pick<Metrics, 'registry'>,
  log: Logger,
): Promise<OpenedEngine> {
  const { provider, workspaceRoot } = config;
  makeOwnFolder(workspaceRoot, 'AGENTX_WORKSPACE_ROOT');
  const sandbox = await prepareSandbox(config.sandbox, config.dataFolder, log);
  const notice = [provider.kind === 'simulated' ? provider.notice : '', sandbox.notice]
    .filter(Boolean)
    .join(' ');
  const counted = createEngineMetrics(metrics);
  const toolbox = createToolbox([
    createBashTool({ sandbox: sandbox.sandbox, timeoutMs: config.toolTimeoutMs }),
  ]);
  const engine = createEngine({
    engineId: config.engineId,
    leaseTtlMs: config.leaseTtlMs,
    defaultModel: provider.kind === 'simulated' ? SIMULATED_MODEL : config.model,
    autoCreateAgents: config.autoCreateAgents,
    notice,
    heartbeatMs: HEARTBEAT_MS,
    parts: {
      stores,
      driver: observeDriver(createDriver(provider), { metrics: counted, priceUsage }),
      toolbox: observeToolbox(toolbox, counted),
      priceUsage,
      systemPrompt: SYSTEM_PROMPT,
      openProject: (tenantId, agentId) => openProjectFolder({ root: workspaceRoot, tenantId, agentId }),
    },
    log,
    observer: observeEngine(counted),
  });
  counted.countTurnsBy(() => engine.running.size);
  const watching = new AbortController();
  const watched = watchWork(engine, watching.signal);
  return {
    definition: createEngineService(engine),
    notice,
    drain: async () => {
      watching.abort();
      await Promise.all([engine.drain(config.drainMs), watched]);
    },
  };
}

function createDriver(provider: ProviderChoice): Driver {
  if (provider.kind === 'simulated') return createSimulatedDriver();
  const { apiKey, baseUrl } = provider;
  return createAnthropicDriver({ apiKey, ...(baseUrl !== undefined && { baseUrl }) });
}
