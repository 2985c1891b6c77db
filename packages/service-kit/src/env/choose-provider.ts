import type { Env } from './read-env.ts';

/** Who answers an agent. */
export type ProviderChoice =
  | { readonly kind: 'anthropic'; readonly apiKey: string; readonly baseUrl: string | undefined }
  | {
      readonly kind: 'simulated';
      /** What every answer says, in one sentence or two. */
      readonly notice: string;
      /** True where AGENTX_PROVIDER asked for it, false where it stands in for want of a key. */
      readonly named: boolean;
    };

/** Chooses who answers. `env` comes from `readEnv`, which refuses what cannot be chosen from. */
export function chooseProvider(
  env: Pick<Env<'engine'>, 'AGENTX_PROVIDER' | 'ANTHROPIC_API_KEY' | 'ANTHROPIC_BASE_URL'>,
): ProviderChoice {
  const { AGENTX_PROVIDER: provider, ANTHROPIC_API_KEY: apiKey, ANTHROPIC_BASE_URL: baseUrl } = env;
  if (provider !== 'simulated' && apiKey !== undefined) return { kind: 'anthropic', apiKey, baseUrl };
  if (provider === 'anthropic') throw new Error('AGENTX_PROVIDER is anthropic without ANTHROPIC_API_KEY');
  return provider === 'simulated'
    ? {
        kind: 'simulated',
        named: true,
        notice: 'The model is simulated, because AGENTX_PROVIDER=simulated.',
      }
    : {
        kind: 'simulated',
        named: false,
        notice: 'The model is simulated, because ANTHROPIC_API_KEY is not set. Set it to talk to Claude.',
      };
}
