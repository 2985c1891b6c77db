import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { ClientProgram } from '../harness/client-program.ts';
import { connectWebSuite } from './connect-web.ts';
import { curlSuite } from './curl.ts';
import { engineClientSuite } from './engine-clients.ts';
import { grpcurlSuite, reflectionSuite } from './grpcurl.ts';

export interface Programs {
  python: ClientProgram;
  go: ClientProgram;
}

/** Every client that none of us wrote, against an engine or what stands before engines. */
export function allClientsSuite(target: () => string, programs: () => Programs): void {
  const reflected = {
    service: EngineService.typeName,
    method: 'ListMessages',
    field: 'string agent_id = 1',
    badRequest: { agent_id: 'no spaces allowed' },
  };
  reflectionSuite(reflected, target, () => programs().python);
  grpcurlSuite(target);
  engineClientSuite('grpcio', () => programs().python, target);
  engineClientSuite('grpc-go', () => programs().go, target);
  curlSuite(target);
  connectWebSuite(target);
}
