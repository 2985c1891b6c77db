import { waitFor } from '@agentx/testing';
import { createClient } from '@connectrpc/connect';
import type { Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import type { Turn } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { randomUUID } from 'node:crypto';

/** A new agent for a test of its own. */
export function newAgent(): string {
  return `agent-${randomUUID().slice(0, 8)}`;
}

/** The input of a Receive. */
export function text(value: string) {
  return { case: 'text', value } as const;
}

/** A client of ours, for what a test must know besides what the client under test saw. */
export function observe(target: string): Client<typeof EngineService> {
  return createClient(EngineService, createGrpcTransport({ baseUrl: `http://${target}` }));
}

/** Waits until a turn is over. */
export async function turnEnd(target: string, agentId: string, turnId: string): Promise<Turn> {
  const engine = observe(target);
  return waitFor(
    async () => {
      const { turn } = await engine.getTurn({ agentId, turnId });
      return turn?.status === TurnStatus.ENDED ? turn : undefined;
    },
    { what: `turn ${turnId} to end`, timeoutMs: 30_000, intervalMs: 100 },
  );
}

/** The events in what a stream answered, heartbeats left out. */
export function eventsOf(answers: readonly { event?: AgentEvent | undefined }[]): AgentEvent[] {
  return answers.flatMap(({ event }) => event ?? []).filter(({ payload }) => payload.case !== 'heartbeat');
}

/** The pieces of the answer's text, joined. */
export function textOf(events: readonly AgentEvent[]): string {
  return events.map(({ payload }) => (payload.case === 'textDelta' ? payload.value.text : '')).join('');
}

/** What `!stream N` makes the simulated model count to, at the end of its answer. */
export function counted(n: number): string {
  return Array.from({ length: n }, (_, index) => index + 1).join(' ');
}
