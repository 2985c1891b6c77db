import { clientFailure } from './rpc-names.ts';
import { activeTracing } from './tracing.ts';
import type { SpanOptions } from './tracing.ts';

/** Does work as a span of its own; just does it where nothing is traced. */
export async function inSpan<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  const span = activeTracing()?.startSpan(name, options);
  if (span === undefined) return work();
  try {
    const value = await span.run(work);
    span.end();
    return value;
  } catch (error) {
    span.end(clientFailure(error));
    throw error;
  }
}
