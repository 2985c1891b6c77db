import type { StateStoreService } from '@agentx/gen/agentx/state/v1/state_service_pb.ts';
import { decodePageToken, pageLimit, toPage } from '@agentx/service-kit';
import type { Handler } from '@agentx/service-kit';
import type { StateStore } from '../store/store.ts';

export const listAgentRecords =
  (store: StateStore): Handler<typeof StateStoreService.method.listAgentRecords> =>
  async ({ pageSize, pageToken }, { identity }) => {
    const [afterAgentId] = decodePageToken(pageToken, ['string']) ?? [];
    const limit = pageLimit(pageSize);
    const found = await store.listAgentRecords(identity.tenantId, afterAgentId, limit + 1);
    const page = toPage(found, limit, (record) => [record.agentId]);
    return { records: [...page.entries], nextPageToken: page.nextPageToken };
  };
