import { randomBytes } from 'node:crypto';
import type { RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages';

/** The `anthropic-version` values that the server accepts. */
export const API_VERSIONS = ['2023-06-01', '2026-10-21'] as const;
export type ApiVersion = (typeof API_VERSIONS)[number];

/** The body of every error, in an HTTP response and in an SSE `error` event alike. */
export interface ErrorBody {
  type: 'error';
  error: { type: string; message: string };
  request_id: string | null;
}

export function errorBody(type: string, message: string, requestId: string | null): ErrorBody {
  return { type: 'error', error: { type, message }, request_id: requestId };
}

/** One server-sent event as the API frames it. */
export function encodeEvent(event: RawMessageStreamEvent): string {
  return encodeRawEvent(event.type, JSON.stringify(event));
}

export function encodeRawEvent(name: string, data: string): string {
  return `event: ${name}\ndata: ${data}\n\n`;
}

export const PING = encodeRawEvent('ping', '{"type": "ping"}');

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

/** An id that looks like the API's own, e.g. `msg_01XFDUDYJgAACzvnptvVoYEL`. */
export function createId(prefix: 'msg' | 'toolu' | 'req'): string {
  const tail = Array.from(randomBytes(22), (byte) => BASE58[byte % BASE58.length]).join('');
  return `${prefix}_01${tail}`;
}

/** Tokens of a text, by the rule of thumb of four characters to a token. */
export function estimateTokens(text: string): number {
  return Math.ceil(text.length / 4);
}
