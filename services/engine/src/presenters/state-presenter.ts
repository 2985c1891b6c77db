import { create } from '@bufbuild/protobuf';
import { AgentStateSchema, AgentStatus } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import type { AgentState } from '@agentx/gen/agentx/common/v1/agent_pb.ts';
import type { Logger } from '@agentx/service-kit';
import type { Payload } from '../turn/payload.ts';

/** What an agent is doing after an event; undefined when the event does not change it. */
export function statusAfter(kind: Payload['case']): AgentStatus | undefined {
  switch (kind) {
    case 'thinking':
    case 'turnStarted':
      return AgentStatus.THINKING;
    case 'responding':
      return AgentStatus.RESPONDING;
    case 'toolUseStart':
      return AgentStatus.PLANNING_TOOL;
    case 'toolExecuting':
      return AgentStatus.AWAITING_TOOL_RESULT;
    case 'approvalRequired':
      return AgentStatus.AWAITING_APPROVAL;
    default:
      return undefined;
  }
}

export interface StatePresenterOptions {
  readonly agentId: string;
  readonly turnId: string;
  readonly epoch: bigint;
  readonly set: (state: AgentState) => Promise<unknown>;
  readonly log: Logger;
}

/** Tells the state store what an agent is doing. Nothing waits for it, and only the newest state counts. */
export interface StatePresenter {
  show(status: AgentStatus, seq: number): void;
}

export function createStatePresenter(options: StatePresenterOptions): StatePresenter {
  let shown: AgentStatus | undefined;
  let next: AgentState | undefined;
  let sending = false;

  async function send(): Promise<void> {
    sending = true;
    while (next !== undefined) {
      const state = next;
      next = undefined;
      try {
        await options.set(state);
      } catch (error) {
        // The state is for display only; the end of the turn tells it again through the outbox.
        options.log.warn({ err: error }, 'the state store did not take the state');
      }
    }
    sending = false;
  }

  return {
    show: (status, seq) => {
      if (status === shown) return;
      shown = status;
      const { agentId, turnId, epoch } = options;
      next = create(AgentStateSchema, { agentId, turnId, status, epoch, seq: BigInt(seq) });
      if (!sending) void send();
    },
  };
}
