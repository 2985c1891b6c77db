import type { Env } from './read-env.ts';
import { parseStoreTarget } from './store-target.ts';

/** Where the three stores are: all in this process, or all behind gRPC. */
export type StoresChoice =
  | { readonly kind: 'local' }
  /** gRPC targets. */
  | { readonly kind: 'grpc'; readonly session: string; readonly stats: string; readonly state: string };

/** Chooses where the stores are. `env` comes from `readEnv`, which refuses a mix. */
export function chooseStores(
  env: Pick<Env<'engine'>, 'AGENTX_SESSION_STORE_URL' | 'AGENTX_STATS_STORE_URL' | 'AGENTX_STATE_STORE_URL'>,
): StoresChoice {
  const session = parseStoreTarget(env.AGENTX_SESSION_STORE_URL);
  const stats = parseStoreTarget(env.AGENTX_STATS_STORE_URL);
  const state = parseStoreTarget(env.AGENTX_STATE_STORE_URL);
  if (session.kind === 'grpc' && stats.kind === 'grpc' && state.kind === 'grpc') {
    return { kind: 'grpc', session: session.target, stats: stats.target, state: state.target };
  }
  if (session.kind === 'local' && stats.kind === 'local' && state.kind === 'local') return { kind: 'local' };
  throw new Error('the stores are neither all local nor all remote');
}
