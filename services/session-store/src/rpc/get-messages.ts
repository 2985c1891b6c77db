import type { SessionStoreService } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { decodePageToken, encodePageToken, pageLimit } from '@agentx/service-kit';
import type { Handler } from '@agentx/service-kit';
import type { SessionStore } from '../store/store.ts';

export const getMessages =
  (store: SessionStore): Handler<typeof SessionStoreService.method.getMessages> =>
  async ({ agentId, pageSize, pageToken, newestFirst }, { identity }) => {
    const [beyondPosition] = decodePageToken(pageToken, ['number']) ?? [];
    const range = { agentId, beyondPosition, newestFirst, limit: pageLimit(pageSize) };
    const { messages, more } = await store.getMessages(identity.tenantId, range);
    const last = more ? messages.at(-1) : undefined;
    return { messages: [...messages], nextPageToken: last ? encodePageToken([last.position]) : '' };
  };
