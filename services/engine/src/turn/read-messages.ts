import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { actingFor } from '../stores.ts';
import type { TurnContext } from './context.ts';

const PAGE_SIZE = 1000;

/** The agent's messages, page by page, as far as the caller reads. */
export async function* readMessages(
  { parts, tenantId, agentId, signal }: TurnContext,
  { newestFirst = false, pageSize = PAGE_SIZE } = {},
): AsyncGenerator<Message, void> {
  let pageToken = '';
  do {
    const page = await parts.stores.session.getMessages(
      { agentId, newestFirst, pageSize, pageToken },
      actingFor(tenantId, { signal }),
    );
    yield* page.messages;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}
