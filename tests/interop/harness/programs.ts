import { buildGoClient } from './go.ts';
import { buildPythonClient } from './python.ts';
import type { Programs } from '../suites/all-clients.ts';

/** The client programs, with stubs generated now. */
export async function buildPrograms(): Promise<Programs & AsyncDisposable> {
  const [python, go] = await Promise.all([buildPythonClient(), buildGoClient()]);
  return { python, go, [Symbol.asyncDispose]: () => python[Symbol.asyncDispose]() };
}
