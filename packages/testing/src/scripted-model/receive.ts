import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { KnownSignatures } from './validate-messages.ts';
import { validateRequest } from './validate-request.ts';
import { API_VERSIONS } from './wire.ts';
import type { ApiVersion } from './wire.ts';

export const MESSAGES_PATH = '/v1/messages';
export const COUNT_TOKENS_PATH = '/v1/messages/count_tokens';
/** The API's own limit. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** A request as it arrived. `raw` is undefined where the body was too large; `body` where it was not JSON. */
export interface Received {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  raw: string | undefined;
  body: unknown;
}

export interface Refusal {
  status: number;
  type: string;
  message: string;
}

/** Rejects when the connection breaks before the body is whole. */
export async function receive(incoming: IncomingMessage): Promise<Received> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  const raw = length > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks).toString('utf8');
  return {
    method: incoming.method ?? '',
    path: new URL(incoming.url ?? '/', 'http://127.0.0.1').pathname,
    headers: incoming.headers,
    raw,
    body: parse(raw),
  };
}

/** What the API would answer by itself, in the order in which it looks; undefined where it would ask the model. */
export function findRefusal(
  received: Received,
  apiKey: string | undefined,
  signatures: KnownSignatures,
): Refusal | undefined {
  const { method, path, headers, raw, body } = received;
  if (method !== 'POST' || (path !== MESSAGES_PATH && path !== COUNT_TOKENS_PATH)) {
    return { status: 404, type: 'not_found_error', message: `Not found: ${method} ${path}` };
  }
  const unauthorized = authProblem(headers, apiKey);
  if (unauthorized) return { status: 401, type: 'authentication_error', message: unauthorized };
  if (raw === undefined) {
    return { status: 413, type: 'request_too_large', message: 'Request exceeds the maximum size' };
  }
  const versionHeader = headers['anthropic-version'];
  if (versionHeader === undefined) return invalid('anthropic-version: header is required');
  const version = API_VERSIONS.find((known) => known === versionHeader);
  if (version === undefined) {
    return invalid(`anthropic-version: "${String(versionHeader)}" is not a valid version`);
  }
  if (body === undefined) return invalid('The request body is not valid JSON');
  const problem = validateRequest(body, validateOptions(received, version, signatures));
  return problem === undefined ? undefined : invalid(problem);
}

function validateOptions(received: Received, version: ApiVersion, signatures: KnownSignatures) {
  return {
    version,
    signatures,
    beta: received.headers['anthropic-beta'] !== undefined,
    countTokens: received.path === COUNT_TOKENS_PATH,
  };
}

function authProblem(headers: IncomingHttpHeaders, expected: string | undefined): string | undefined {
  const key = headers['x-api-key'];
  const bearer = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1];
  const given = typeof key === 'string' && key !== '' ? key : bearer;
  if (given === undefined) return 'x-api-key header is required';
  if (expected === undefined || given === expected) return undefined;
  return given === bearer ? 'Invalid bearer token' : 'invalid x-api-key';
}

function parse(raw: string | undefined): unknown {
  if (raw === undefined) return undefined;
  try {
    return JSON.parse(raw);
  } catch {
    return undefined;
  }
}

function invalid(message: string): Refusal {
  return { status: 400, type: 'invalid_request_error', message };
}
