import type { Duration } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import type { CallOptions } from '@connectrpc/connect';
import { setTimeout as delay } from 'node:timers/promises';
import type { LeaseRef, TurnRecord } from '@agentx/gen/agentx/session/v1/turn_log_pb.ts';
import { codeOf, reasonOf } from '@agentx/service-kit';
import type { Logger } from '@agentx/service-kit';
import type { Driver } from '../driver/driver.ts';
import type { ObservedTurn } from '../observer.ts';
import type { TurnLog } from '../presenters/turn-log.ts';
import type { priceUsage } from '../pricing/pricing.ts';
import { actingFor } from '../stores.ts';
import type { Stores } from '../stores.ts';
import type { Toolbox } from '../tools/tool.ts';
import { LeaseLostError } from './lease-keeper.ts';
import type { LeaseKeeper } from './lease-keeper.ts';
import type { MessageMaker } from './messages.ts';
import type { AttemptCost } from './usage.ts';

/** What a turn is run with. */
export interface TurnParts {
  readonly stores: Stores;
  readonly driver: Driver;
  readonly toolbox: Toolbox;
  readonly priceUsage: typeof priceUsage;
  /** System prompt of agents that have none. */
  readonly systemPrompt: string;
  /** Opens the agent's project folder and returns its real path. */
  readonly openProject: (tenantId: string, agentId: string) => Promise<string>;
}

/** One turn on this engine, from the lease to its end. All that is known of it here ends with it. */
export interface TurnContext {
  readonly tenantId: string;
  readonly agentId: string;
  readonly turnId: string;
  readonly record: TurnRecord;
  readonly lease: LeaseRef;
  readonly leaseTtl: Duration;
  readonly parts: TurnParts;
  readonly turnLog: TurnLog;
  readonly messages: MessageMaker;
  readonly keeper: LeaseKeeper;
  /** Aborts when the turn must stop: the lease is lost, or the engine shuts down. Its reason says which. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  readonly tally: Tally;
  readonly observed: ObservedTurn;
}

/** What has been counted so far. */
export interface Tally {
  /** `performance.now()` when the user's message was committed. */
  readonly startMs: number;
  ttftMs: number | undefined;
  toolCalls: number;
  attempts: AttemptCost[];
  /** The model that answered last, as its provider names it. */
  model: string;
  workingDirectory: string;
  /** Calls of the model that lack their result. */
  readonly openCalls: Map<string, OpenCall>;
}

export interface OpenCall {
  readonly toolCallId: string;
  readonly name: string;
  readonly parentId: string;
  readonly started: boolean;
}

const FIRST_RETRY_MS = 20;
const LAST_RETRY_MS = 1000;

/**
 * Makes a fenced write, and again with the same key while the store cannot be reached: a write whose answer was lost
 * changes nothing when it is repeated. Gives up when the lease does.
 *
 * @throws LeaseLostError when another holder has taken over.
 */
export async function persist<T>(
  context: Pick<TurnContext, 'tenantId' | 'keeper' | 'log'>,
  call: (options: CallOptions) => Promise<T>,
): Promise<T> {
  const timeoutMs = Math.max(100, Math.round(context.keeper.maxSilenceMs / 2));
  for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(2 * waitMs, LAST_RETRY_MS)) {
    const sentAtMs = performance.now();
    try {
      const answer = await call(actingFor(context.tenantId, { timeoutMs }));
      context.keeper.extended(sentAtMs);
      return answer;
    } catch (error) {
      if (reasonOf(error) === 'FENCED')
        throw new LeaseLostError('another engine has taken the turn over', { cause: error });
      if (!mayPass(error)) throw error;
      if (context.keeper.lost !== undefined) throw context.keeper.lost;
      context.log.warn({ err: error }, 'a write to the turn log failed, trying again');
      await delay(waitMs);
    }
  }
}

const mayPass = (error: unknown): boolean => {
  const code = codeOf(error);
  // A message that is too large exhausts a resource too, each time anew.
  const full = code === Code.ResourceExhausted && reasonOf(error) === 'DATABASE_FULL';
  return code === Code.Unavailable || code === Code.DeadlineExceeded || full;
};
