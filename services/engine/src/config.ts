import { resolve } from 'node:path';
import { chooseProvider, jwtConfig, tlsConfig } from '@agentx/service-kit';
import type { Env, JwtConfig, ProviderChoice, TlsConfig } from '@agentx/service-kit';

/** What an engine is told by its environment. */
export interface EngineConfig {
  readonly engineId: string;
  readonly listen: string;
  readonly opsListen: string;
  readonly leaseTtlMs: number;
  readonly provider: ProviderChoice;
  /** Model of agents that name none. */
  readonly model: string;
  readonly autoCreateAgents: boolean;
  /** Folder of the agents' project folders, absolute. */
  readonly workspaceRoot: string;
  /** Folder for what the engine puts in place on this machine, absolute. */
  readonly dataFolder: string;
  readonly sandbox: 'bubblewrap' | 'off';
  readonly toolTimeoutMs: number;
  /** How long running turns may go on after the engine was told to end. */
  readonly drainMs: number;
  /** Which tokens say who calls. Undefined: everybody is the default tenant. */
  readonly jwt: JwtConfig | undefined;
  /** Mutual TLS with the stores. */
  readonly tls: TlsConfig | undefined;
}

/** Nests the flat environment of the desktop or of an engine. */
export function engineConfig(env: Env<'desktop'> | Env<'engine'>): EngineConfig {
  return {
    engineId: env.AGENTX_ENGINE_ID,
    listen: env.AGENTX_LISTEN,
    opsListen: env.AGENTX_OPS_LISTEN,
    leaseTtlMs: env.AGENTX_LEASE_TTL_MS,
    provider: chooseProvider(env),
    model: env.AGENTX_MODEL,
    autoCreateAgents: env.AGENTX_AUTO_CREATE_AGENTS,
    workspaceRoot: resolve(env.AGENTX_WORKSPACE_ROOT),
    dataFolder: resolve('.agentx'),
    sandbox: env.AGENTX_SANDBOX,
    toolTimeoutMs: env.AGENTX_TOOL_TIMEOUT_MS,
    drainMs: env.AGENTX_DRAIN_MS,
    jwt: jwtConfig(env),
    tls: tlsConfig(env),
  };
}
