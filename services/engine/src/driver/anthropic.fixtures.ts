import { afterEach, beforeEach, expect } from '@jest/globals';
import { startScriptedModel } from '@agentx/testing';
import type { ReplyLike, ScriptedModel } from '@agentx/testing';
import { createAnthropicDriver } from './anthropic.ts';
import type { AnthropicDriverOptions } from './anthropic.ts';
import type { DriverEvent, ModelRequest } from './driver.ts';
import { DriverError } from './driver.ts';
import { user } from './history.fixtures.ts';

/** A scripted model for each test of the file; its key is `key`. */
export let model: ScriptedModel;

beforeEach(async () => {
  model = await startScriptedModel({ apiKey: 'key' });
});

afterEach(async () => {
  await model.close();
});

export const request: ModelRequest = {
  model: 'claude-sonnet-5',
  system: 'Be brief.',
  history: [user('hello')],
  tools: [],
  maxOutputTokens: 1024,
};

export interface CallOptions extends Partial<AnthropicDriverOptions> {
  signal?: AbortSignal;
  request?: ModelRequest;
  onEvent?: (event: DriverEvent) => void;
}

/** What the driver made of the replies, and how it ended. */
export async function call(replies: readonly ReplyLike[], options: CallOptions = {}) {
  const { signal = new AbortController().signal, onEvent, ...rest } = options;
  model.push(...replies);
  const driver = createAnthropicDriver({ apiKey: 'key', baseUrl: model.url, maxRetries: 0, ...rest });
  const events: DriverEvent[] = [];
  let failure: unknown;
  try {
    for await (const event of driver.stream(options.request ?? request, signal)) {
      events.push(event);
      onEvent?.(event);
    }
  } catch (error) {
    failure = error;
  }
  return { events, failure };
}

export async function answer(replied: ReplyLike, options?: CallOptions): Promise<DriverEvent[]> {
  const { events, failure } = await call([replied], options);
  expect(failure).toBeUndefined();
  expect(events.at(-1)).toEqual({ type: 'message_stop' });
  return events;
}

export async function failureOf(replies: readonly ReplyLike[], options?: CallOptions): Promise<DriverError> {
  const { failure } = await call(replies, options);
  if (!(failure instanceof DriverError)) throw new Error('expected a DriverError', { cause: failure });
  return failure;
}

export function joined(events: readonly DriverEvent[], type: 'text_delta' | 'thinking_delta'): string {
  return events.map((event) => (event.type === type ? event.text : '')).join('');
}
