import { requirePart, temporaryFolder } from '@agentx/testing';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClientProgram } from './client-program.ts';
import { runOk } from './run.ts';
import { root } from './servers.ts';

export interface PythonClient extends ClientProgram, AsyncDisposable {
  name: 'python';
}

/** Generates stubs with grpcio-tools into a temporary folder. */
export async function buildPythonClient(): Promise<PythonClient> {
  const { path: python } = await requirePart('python');
  const stubs = await temporaryFolder('agentx-interop-python-');
  const protos = await protoFiles(join(root, 'proto'), 'agentx');
  const outputs = ['--python_out', '--grpc_python_out'].map((option) => `${option}=${stubs.path}`);
  const includes = ['-Iproto', '-Ithird_party/proto'];
  await runOk(
    python,
    ['-m', 'grpc_tools.protoc', ...includes, ...outputs, ...protos, 'buf/validate/validate.proto'],
    { cwd: root },
  );
  return {
    name: 'python',
    command: python,
    args: [join(root, 'tests/interop/python/client.py'), stubs.path],
    [Symbol.asyncDispose]: () => stubs.remove(),
  };
}

async function protoFiles(folder: string, under: string): Promise<string[]> {
  const entries = await readdir(join(folder, under), { recursive: true });
  return entries.filter((name) => name.endsWith('.proto')).map((name) => join(under, name));
}
