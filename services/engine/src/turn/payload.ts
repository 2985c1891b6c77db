import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AgentEventSchema } from '@agentx/gen/agentx/common/v1/event_pb.ts';

/** What an event says, without its envelope. */
export type Payload = NonNullable<MessageInitShape<typeof AgentEventSchema>['payload']>;

/** The model call that an event belongs to; 0/0 outside one. */
export interface StepPlace {
  readonly step: number;
  readonly attempt: number;
}

export const OUTSIDE_STEPS: StepPlace = { step: 0, attempt: 0 };
