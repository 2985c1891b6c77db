import type { OutboxEntry } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { actingFor } from '../stores.ts';
import type { Stores } from '../stores.ts';

/**
 * Commit point C7: tells the statistics and state stores what a turn came to, then removes the entry from the outbox.
 * May be repeated at will: statistics count a turn once, and state is applied only when newer.
 */
export async function deliver(stores: Stores, entry: OutboxEntry): Promise<void> {
  const options = actingFor(entry.tenantId);
  await Promise.all([
    entry.stats && stores.stats.addTurn({ stats: entry.stats }, options),
    entry.state && stores.state.setState({ state: entry.state }, options),
  ]);
  await stores.session.ackOutbox({ outboxIds: [entry.outboxId] }, options);
}
