import { afterAll, beforeAll, describe } from '@jest/globals';
import { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { buildPrograms } from './harness/programs.ts';
import { startServices } from './harness/servers.ts';
import type { Server, Services } from './harness/servers.ts';
import type { Programs } from './suites/all-clients.ts';
import { reflectionSuite } from './suites/grpcurl.ts';
import { storeClientSuite } from './suites/store-clients.ts';

describe('the stores, each a process', () => {
  const ends = new AsyncDisposableStack();
  let services: Services;
  let engine: Server;
  let programs: Programs;

  beforeAll(async () => {
    services = ends.use(await startServices());
    engine = await services.startEngine('engine-1');
    programs = ends.use(await buildPrograms());
  }, 300_000);

  afterAll(() => ends.disposeAsync());

  const python = () => programs.python;
  const go = () => programs.go;
  const agent = { field: 'string agent_id = 1', badRequest: { agent_id: 'no spaces allowed' } };
  reflectionSuite(
    { service: SessionStoreService.typeName, method: 'GetMessages', ...agent },
    () => services.session.address,
    python,
  );
  reflectionSuite(
    { service: StateStoreService.typeName, method: 'GetState', ...agent },
    () => services.state.address,
    python,
  );
  reflectionSuite(
    {
      service: StatisticsStoreService.typeName,
      method: 'GetTotalCost',
      field: 'TurnFilter filter = 1',
      badRequest: { group_by: 9 },
    },
    () => services.stats.address,
    python,
  );

  const targets = () => ({
    engine: engine.address,
    session: services.session.address,
    state: services.state.address,
    stats: services.stats.address,
  });
  storeClientSuite('grpcio', python, targets);
  storeClientSuite('grpc-go', go, targets);
});
