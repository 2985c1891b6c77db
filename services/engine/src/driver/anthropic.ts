import { Anthropic, APIError } from '@anthropic-ai/sdk';
import { Stream } from '@anthropic-ai/sdk/streaming';
import type { RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages';
import { broken, silent, toDriverError } from './anthropic-errors.ts';
import { createTranslator } from './anthropic-events.ts';
import { toAnthropicRequest } from './anthropic-request.ts';
import type { Driver, DriverEvent, ModelRequest } from './driver.ts';

export interface AnthropicDriverOptions {
  readonly apiKey: string;
  /** Address of a server that speaks the Messages API. Default: Anthropic's. */
  readonly baseUrl?: string;
  /** How often a request that failed before its answer began is sent again. Default 2. */
  readonly maxRetries?: number;
  /** How long the provider may send nothing at all, before the answer and amid it, in ms. Default 120,000. */
  readonly timeoutMs?: number;
}

const DEFAULT_BASE_URL = 'https://api.anthropic.com';
const DEFAULT_TIMEOUT_MS = 120_000;
/** A provider that asks for a longer wait gets no retry: the turn fails and says so, instead of hanging. */
const MAX_RETRY_AFTER_MS = 60_000;

/**
 * Calls models over Anthropic's Messages API. What failed before the answer began is sent again by the SDK, with its
 * back-off and the provider's retry-after; nothing is repeated after that.
 */
export function createAnthropicDriver(options: AnthropicDriverOptions): Driver {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const client = new Anthropic({
    apiKey: options.apiKey,
    // Only what this process was configured with counts, not what else the SDK would find in the environment.
    authToken: null,
    baseURL: options.baseUrl ?? DEFAULT_BASE_URL,
    // The SDK sends the key as a bearer token; many compatible servers look for it here only.
    ...(options.baseUrl !== undefined && { defaultHeaders: { 'x-api-key': options.apiKey } }),
    maxRetries: options.maxRetries ?? 2,
    timeout: timeoutMs,
    fetch: fetchWithBoundedRetryAfter,
    // Every failure reaches the caller, who logs it with its turn.
    logLevel: 'off',
  });
  return {
    name: 'anthropic',
    stream: (request, signal) => streamAnswer(client, request, signal, timeoutMs),
  };
}

async function* streamAnswer(
  client: Anthropic,
  request: ModelRequest,
  signal: AbortSignal,
  timeoutMs: number,
): AsyncGenerator<DriverEvent, void, undefined> {
  signal.throwIfAborted();
  // The SDK leaves its listener on the signal until it is collected: it gets one that lives as long as the call.
  const call = new AbortController();
  const abort = (): void => call.abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const response = await client.messages
      .create(toAnthropicRequest(request), { signal: call.signal })
      .asResponse();
    yield* readAnswer(response, call, timeoutMs);
  } catch (error) {
    signal.throwIfAborted();
    throw toDriverError(error, request.model);
  } finally {
    signal.removeEventListener('abort', abort);
    call.abort();
  }
}

/**
 * Reads the raw events, not the SDK's parsed ones, because those hide pings: while the model thinks in silence they are
 * all that tells a living connection from a dead one.
 */
async function* readAnswer(
  response: Response,
  call: AbortController,
  timeoutMs: number,
): AsyncGenerator<DriverEvent, void, undefined> {
  const ready: DriverEvent[] = [];
  const translate = createTranslator((event) => ready.push(event));
  const silence = { waiting: true, over: false };
  const timer = setTimeout(() => {
    // The time that the caller takes for an event is not the provider's.
    if (!silence.waiting) return;
    silence.over = true;
    call.abort();
  }, timeoutMs);
  try {
    for await (const { event, data } of Stream.rawEvents(response, call)) {
      silence.waiting = false;
      if (event !== 'ping' && data !== '') {
        const content = JSON.parse(data) as RawMessageStreamEvent | { type: 'error' };
        if (content.type === 'error') throw new APIError(undefined, content, undefined, response.headers);
        translate(content);
      }
      for (const made of ready) {
        yield made;
        if (made.type === 'message_stop') return;
        // What has arrived already is not read on after an abort.
        call.signal.throwIfAborted();
      }
      ready.length = 0;
      silence.waiting = true;
      timer.refresh();
    }
  } catch (error) {
    throw silence.over ? silent(error) : error;
  } finally {
    clearTimeout(timer);
  }
  throw broken('the answer ended before it was whole');
}

async function fetchWithBoundedRetryAfter(...args: Parameters<typeof fetch>): Promise<Response> {
  const response = await fetch(...args);
  if (response.ok || readRetryAfterMs(response.headers) <= MAX_RETRY_AFTER_MS) return response;
  const headers = new Headers(response.headers);
  headers.set('x-should-retry', 'false');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

/** How long the provider asks to wait; 0 where it does not say. */
function readRetryAfterMs(headers: Headers): number {
  const ms = Number(headers.get('retry-after-ms') ?? Number.NaN);
  if (!Number.isNaN(ms)) return ms;
  const value = headers.get('retry-after');
  if (value === null) return 0;
  const seconds = Number(value);
  const waitMs = Number.isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return Number.isNaN(waitMs) ? 0 : waitMs;
}
