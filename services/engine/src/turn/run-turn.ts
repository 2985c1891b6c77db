import type { Message } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import { StopReason } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { DomainError, reasonOf } from '@agentx/service-kit';
import { Code, ConnectError } from '@connectrpc/connect';
import { DriverError } from '../driver/driver.ts';
import { runLoop } from '../loop.ts';
import { deliver } from '../presenters/turn-presenter.ts';
import type { TurnContext } from './context.ts';
import { endTurn } from './end-turn.ts';
import type { TurnEnding } from './end-turn.ts';
import { LeaseLostError } from './lease-keeper.ts';
import { readMessages } from './read-messages.ts';

/** The engine stops before the turn has ended. */
export class EngineStoppingError extends Error {
  override readonly name = 'EngineStoppingError';
}

/**
 * Runs a held turn to its end and tells the other stores of it. Never rejects.
 *
 * @returns 'lost' when the turn is no longer this engine's.
 */
export async function runTurn(context: TurnContext): Promise<'ended' | 'lost'> {
  let ending: TurnEnding;
  try {
    const history: Message[] = [];
    for await (const message of readMessages(context)) history.push(message);
    ending = await runLoop(context, history);
  } catch (thrown) {
    if (thrown instanceof LeaseLostError) return lost(context, thrown);
    // Whatever an abort broke off fails in its own way; what counts is why.
    const error: unknown = context.signal.aborted ? context.signal.reason : thrown;
    if (error instanceof LeaseLostError) return lost(context, error);
    ending = { stopReason: StopReason.ERROR, error: describeFailure(context, error) };
  }
  return finish(context, ending);
}

/** Commits a turn's end. Never rejects. */
export async function finish(context: TurnContext, ending: TurnEnding): Promise<'ended' | 'lost'> {
  try {
    const outbox = await endTurn(context, ending);
    context.observed.ended(outbox?.stats, ending.error?.reason);
    // Nobody waits for these: what fails here is found in the outbox.
    if (outbox)
      deliver(context.parts.stores, outbox).catch((error: unknown) => {
        context.log.warn({ err: error }, 'statistics and state will be told later, from the outbox');
      });
    context.log.info({ stopReason: ending.stopReason, reason: ending.error?.reason }, 'turn ended');
    return 'ended';
  } catch (error) {
    return lost(context, error);
  }
}

/** Lets go of a turn that this engine can do nothing more for. */
export function lost(context: TurnContext, error: unknown): 'lost' {
  context.log.warn({ err: error }, 'the turn is left to whoever notices it');
  return 'lost';
}

/** What the user is told. Internals stay in the log of the engine. */
function describeFailure(context: TurnContext, error: unknown): NonNullable<TurnEnding['error']> {
  if (error instanceof DriverError)
    return { reason: error.reason, message: error.message, recoverable: error.retryable };
  if (error instanceof EngineStoppingError)
    return { reason: 'ENGINE_STOPPED', message: error.message, recoverable: true };
  context.log.error({ err: error }, 'the turn failed');
  if (error instanceof DomainError || error instanceof ConnectError) {
    const reason = reasonOf(error) ?? 'DEPENDENCY_FAILED';
    return {
      reason,
      message: `a service behind the engine failed (${Code[error.code]}): send the message again`,
      recoverable: true,
    };
  }
  return {
    reason: 'INTERNAL',
    message: 'the engine failed; its log says why. Send the message again',
    recoverable: true,
  };
}
