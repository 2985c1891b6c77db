import type { Program } from '../env/index.ts';
import { variables } from '../env/index.ts';
import type { Logger } from '../logging/index.ts';
import { setTracing } from './tracing.ts';

/**
 * Whether the environment asks for traces: by an OTLP endpoint or by naming the exporter, unless they are switched off.
 * What is wrong with a value is told by `readEnv`.
 */
export function wantsTraces(env: NodeJS.ProcessEnv): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return false;
  const exporter = env.OTEL_TRACES_EXPORTER ?? '';
  if (exporter !== '') return exporter === 'otlp';
  return [env.OTEL_EXPORTER_OTLP_ENDPOINT, env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT].some(Boolean);
}

/**
 * Starts tracing where the environment asks for it; only then is OpenTelemetry's SDK loaded. The function that it
 * returns sends what is left and stops.
 */
export async function startTracing(
  program: Program,
  env: NodeJS.ProcessEnv,
  log: Logger,
): Promise<(() => Promise<void>) | undefined> {
  if (!wantsTraces(env) || !isValid(env)) return undefined;
  const { createTracing } = await import('./open-telemetry.ts');
  const tracing = createTracing({ program, env, log });
  setTracing(tracing);
  return async () => {
    setTracing(undefined);
    await tracing.close();
  };
}

function isValid(env: NodeJS.ProcessEnv): boolean {
  return Object.entries(variables)
    .filter(([name]) => name.startsWith('OTEL_'))
    .every(([name, { kind }]) => {
      const text = env[name] ?? '';
      try {
        if (text !== '') kind.parse(text);
        return true;
      } catch {
        return false;
      }
    });
}
