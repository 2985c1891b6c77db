import { createHash } from 'node:crypto';
import { Code } from '@connectrpc/connect';
import { DomainError } from './errors.ts';

/** A place in an agent's log. */
export interface LogPlace {
  readonly epoch: bigint;
  readonly seq: bigint;
}

/** Turns places in one agent's log into the opaque cursors that clients see, and back. */
export interface CursorCodec {
  encode(epoch: bigint, seq: bigint | number): string;
  /** @throws DomainError INVALID_ARGUMENT `INVALID_CURSOR` for a text that is no cursor of this agent. */
  decode(cursor: string): LogPlace;
}

const FORM = /^([0-9a-z]{1,13})\.([0-9a-z]{1,13})\.([A-Za-z0-9_-]{6})$/;

/** A cursor carries a tag of its agent, so that one agent's cursor is not taken for another's. */
export function createCursorCodec(tenantId: string, agentId: string): CursorCodec {
  const tag = createHash('sha256').update(`${tenantId}\0${agentId}`).digest('base64url').slice(0, 6);
  return {
    encode: (epoch, seq) => `${epoch.toString(36)}.${seq.toString(36)}.${tag}`,
    decode: (cursor) => {
      const [, epoch, seq, cursorTag] = FORM.exec(cursor) ?? [];
      if (epoch === undefined || seq === undefined || cursorTag !== tag) {
        throw new DomainError(
          Code.InvalidArgument,
          'INVALID_CURSOR',
          `the cursor is not one of agent ${agentId}: pass a cursor exactly as an event of this agent carried it`,
          { metadata: { agent_id: agentId } },
        );
      }
      return { epoch: parseBase36(epoch), seq: parseBase36(seq) };
    },
  };
}

function parseBase36(digits: string): bigint {
  let value = 0n;
  for (const digit of digits) value = value * 36n + BigInt(Number.parseInt(digit, 36));
  return value;
}
