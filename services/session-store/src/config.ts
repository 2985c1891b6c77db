import { tlsConfig } from '@agentx/service-kit';
import type { Env, TlsConfig } from '@agentx/service-kit';

/** What a session store is told by its environment. */
export interface SessionStoreConfig {
  readonly listen: string;
  readonly opsListen: string;
  readonly databaseUrl: string;
  readonly directUrl: string | undefined;
  readonly tls: TlsConfig | undefined;
}

/** Nests the flat environment. */
export function sessionStoreConfig(env: Env<'session-store'>): SessionStoreConfig {
  return {
    listen: env.AGENTX_LISTEN,
    opsListen: env.AGENTX_OPS_LISTEN,
    databaseUrl: env.AGENTX_DATABASE_URL,
    directUrl: env.AGENTX_DATABASE_DIRECT_URL,
    tls: tlsConfig(env),
  };
}
