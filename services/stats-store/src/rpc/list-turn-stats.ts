import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { StatisticsStoreService } from '@agentx/gen/agentx/stats/v1/stats_service_pb.ts';
import { decodePageToken, pageLimit, toPage } from '@agentx/service-kit';
import type { Handler } from '@agentx/service-kit';
import { toSelection } from './selection.ts';
import type { StatsStore } from '../store/store.ts';

export const listTurnStats =
  (store: StatsStore): Handler<typeof StatisticsStoreService.method.listTurnStats> =>
  async ({ filter, pageSize, pageToken }, { identity }) => {
    const place = decodePageToken(pageToken, ['number', 'string']);
    const after = place && { endTimeMs: place[0], turnId: place[1] };
    const limit = pageLimit(pageSize);
    const found = await store.listTurnStats(identity.tenantId, toSelection(filter), after, limit + 1);
    const page = toPage(found, limit, ({ endTime, turnId }) => [endTime ? timestampMs(endTime) : 0, turnId]);
    return { turns: [...page.entries], nextPageToken: page.nextPageToken };
  };
