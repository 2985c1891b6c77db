import type { MessageInitShape } from '@bufbuild/protobuf';
import type { CommitStepRequestSchema } from '@agentx/gen/agentx/session/v1/session_service_pb.ts';
import { persist } from './context.ts';
import type { TurnContext } from './context.ts';
import type { Payload, StepPlace } from './payload.ts';

/** The fact that a write commits. */
export type StepFact = NonNullable<MessageInitShape<typeof CommitStepRequestSchema>['step']>;

/** The message presenter: commits a fact of the turn and the events that tell of it. */
export async function commit(
  context: TurnContext,
  place: StepPlace,
  payloads: readonly Payload[],
  step: StepFact,
): Promise<void> {
  const { lease, leaseTtl, parts, turnLog } = context;
  await turnLog.commit(payloads, place, (batch) =>
    persist(context, (options) => parts.stores.session.commitStep({ lease, leaseTtl, batch, step }, options)),
  );
}
