import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { decodePageToken, pageLimit, toPage } from '@agentx/service-kit';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const listTurns =
  (store: SessionStore): Handler<typeof SessionStoreService.method.listTurns> =>
  async ({ agentId, pageSize, pageToken }, { identity }) => {
    const limit = pageLimit(pageSize);
    const [createTimeMs, turnId] = decodePageToken(pageToken, ['number', 'string']) ?? [];
    const after = createTimeMs === undefined || turnId === undefined ? undefined : { createTimeMs, turnId };
    const found = await store.listTurns(identity.tenantId, agentId, after, limit + 1);
    const page = toPage(found, limit, (turn) => [
      turn.createTime ? timestampMs(turn.createTime) : 0,
      turn.turnId,
    ]);
    return { turns: [...page.entries], nextPageToken: page.nextPageToken };
  };
