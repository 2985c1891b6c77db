import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import {
  cutAfter,
  endAfter,
  hold,
  httpError,
  midStreamError,
  rawEvents,
  reply,
  silence,
  text,
  toolUse,
} from '@agentx/testing';
import { call, failureOf, joined, model, request } from './anthropic.fixtures.ts';
import { createAnthropicDriver } from './anthropic.ts';

describe('a failure', () => {
  test.each([
    [429, 'rate_limit_error', 'slow down', 'MODEL_RATE_LIMITED', true],
    [500, 'api_error', 'Internal server error', 'MODEL_UNAVAILABLE', true],
    [529, 'overloaded_error', 'Overloaded', 'MODEL_OVERLOADED', true],
    [
      400,
      'invalid_request_error',
      'prompt is too long: 210000 tokens > 200000 maximum',
      'MODEL_CONTEXT_TOO_LONG',
      false,
    ],
    [413, 'request_too_large', 'Request exceeds the maximum size', 'MODEL_CONTEXT_TOO_LONG', false],
    [400, 'invalid_request_error', 'Your credit balance is too low', 'MODEL_BILLING', false],
    [400, 'invalid_request_error', 'tools: Tool names must be unique.', 'MODEL_BAD_REQUEST', false],
    [403, 'permission_error', 'not allowed', 'MODEL_PERMISSION_DENIED', false],
    [404, 'not_found_error', 'model: claude-nonsense', 'MODEL_NOT_FOUND', false],
    [502, 'html', 'bad gateway', 'MODEL_UNAVAILABLE', true],
  ])('%i %s (%s) is %s', async (status, type, message, reason, retryable) => {
    const failure = await failureOf([httpError(status, type, message)]);
    expect(failure).toMatchObject({ reason, retryable });
    expect(failure.message).not.toContain('undefined');
  });

  test('a wrong key is named with the variable that holds it', async () => {
    const failure = await failureOf([], { apiKey: 'wrong', maxRetries: 2 });
    expect(failure).toMatchObject({ reason: 'MODEL_AUTHENTICATION', retryable: false });
    expect(failure.message).toContain('refused the key in ANTHROPIC_API_KEY');
    expect(model.requests).toHaveLength(1);
  });

  test('before the answer is tried again, after the time that the provider asks for', async () => {
    const retryAfter = { headers: { 'retry-after-ms': '1' } };
    const { events, failure } = await call(
      [
        httpError(429, 'rate_limit_error', 'x', retryAfter),
        httpError(529, 'overloaded_error', 'x', retryAfter),
        text('hi'),
      ],
      { maxRetries: 2 },
    );
    expect(failure).toBeUndefined();
    expect(joined(events, 'text_delta')).toBe('hi');
    expect(model.requests).toHaveLength(3);
  });

  test('is tried again only so often', async () => {
    const busy = httpError(529, 'overloaded_error', 'x', { headers: { 'retry-after-ms': '1' } });
    expect(await failureOf([busy, busy, text('too late')], { maxRetries: 1 })).toMatchObject({
      reason: 'MODEL_OVERLOADED',
      retryable: true,
    });
    expect(model.requests).toHaveLength(2);
  });

  test('with an hour to wait ends at once', async () => {
    const failure = await failureOf([httpError(429, 'rate_limit_error', 'x', { retryAfter: 3600 })], {
      maxRetries: 2,
    });
    expect(failure).toMatchObject({ reason: 'MODEL_RATE_LIMITED', retryable: false });
  });

  test('amid the answer keeps what came before it', async () => {
    const { events, failure } = await call(
      [midStreamError(text('Hello there', { chunks: 2 }), 4), text('again')],
      {
        maxRetries: 2,
      },
    );
    expect(joined(events, 'text_delta')).toBe('Hello ');
    expect(failure).toMatchObject({ reason: 'MODEL_OVERLOADED', retryable: true });
    expect(model.requests).toHaveLength(1);
  });

  test('when nobody listens', async () => {
    const address = model.url;
    await model.close();
    const failure = await failureOf([], { baseUrl: address });
    expect(failure).toMatchObject({ reason: 'MODEL_UNAVAILABLE', retryable: true });
    expect(failure.message).toContain('ANTHROPIC_BASE_URL');
  });

  const whole = reply({ content: [text('Hello'), toolUse('bash', { command: 'ls' })] });

  test.each([1, 4, 6, 9, 10])('when the connection is cut after event %i', async (events) => {
    const { events: made, failure } = await call([cutAfter(whole, events)]);
    expect(failure).toMatchObject({ reason: 'MODEL_STREAM_BROKEN', retryable: true });
    expect(made).not.toContainEqual({ type: 'message_stop' });
  });

  test.each([0, 1, 4, 6, 9, 10])('when the answer just ends after event %i', async (events) => {
    const { events: made, failure } = await call([endAfter(whole, events)]);
    expect(failure).toMatchObject({ reason: 'MODEL_STREAM_BROKEN', retryable: true });
    expect(made).not.toContainEqual({ type: 'message_stop' });
  });

  test('when the answer makes no sense', async () => {
    const orphan = { type: 'content_block_delta', index: 3, delta: { type: 'text_delta', text: 'x' } };
    const open = { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } };
    for (const events of [
      [{ event: 'message_start', data: '{"type": "message_st' }],
      [orphan],
      [open, { type: 'message_stop' }],
    ]) {
      expect(await failureOf([rawEvents(events)])).toMatchObject({ reason: 'MODEL_STREAM_BROKEN' });
    }
  });

  test('when nothing comes, before the answer and amid it', async () => {
    expect(await failureOf([silence], { timeoutMs: 300 })).toMatchObject({
      reason: 'MODEL_UNAVAILABLE',
      retryable: true,
    });
    const never = new Promise(() => undefined);
    const { events, failure } = await call([hold(text('Hello'), never, 4)], { timeoutMs: 300 });
    expect(joined(events, 'text_delta')).toBe('Hello');
    expect(failure).toMatchObject({ reason: 'MODEL_UNAVAILABLE', retryable: true });
    expect(await model.requests[1]?.done).toBe('aborted');
  });

  test('is not the silence of a provider whose reader takes its time', async () => {
    const driver = createAnthropicDriver({
      apiKey: 'key',
      baseUrl: model.url,
      maxRetries: 0,
      timeoutMs: 1_000,
    });
    model.push(text('Hello there', { chunks: 2 }));
    let said = '';
    for await (const event of driver.stream(request, new AbortController().signal)) {
      if (event.type === 'text_delta') said += event.text;
      if (event.type === 'message_start') await delay(1_500);
    }
    expect(said).toBe('Hello there');
  });
});

describe('an abort', () => {
  const reason = new Error('the turn was interrupted');

  test('ends the call with its reason, while nothing comes and amid the answer', async () => {
    const never = new Promise(() => undefined);
    for (const held of [silence, hold(text('Hello'), never, 4)]) {
      const controller = new AbortController();
      const seen = model.requests.length + 1;
      const ended = call([held], { signal: controller.signal });
      const arrived = await model.waitForRequest(seen);
      controller.abort(reason);
      expect((await ended).failure).toBe(reason);
      expect(await arrived.done).toBe('aborted');
    }
  });

  test('is obeyed before what has arrived already', async () => {
    const controller = new AbortController();
    const { events, failure } = await call([text('one two three', { chunks: 13 })], {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.type === 'text_delta') controller.abort(reason);
      },
    });
    expect(failure).toBe(reason);
    expect(joined(events, 'text_delta')).toBe('o');
  });

  test('before the call sends nothing', async () => {
    const { failure } = await call([text('x')], { signal: AbortSignal.abort(reason) });
    expect(failure).toBe(reason);
    expect(model.requests).toHaveLength(0);
  });

  test('ends the wait before another try', async () => {
    const controller = new AbortController();
    const ended = call([httpError(429, 'rate_limit_error', 'x', { retryAfter: 30 })], {
      signal: controller.signal,
      maxRetries: 2,
    });
    await (
      await model.waitForRequest(1)
    ).done;
    controller.abort(reason);
    expect((await ended).failure).toBe(reason);
  });

  test('is what leaving the loop amounts to for the provider', async () => {
    const driver = createAnthropicDriver({ apiKey: 'key', baseUrl: model.url });
    model.push(hold(text('Hello'), new Promise(() => undefined), 4));
    for await (const event of driver.stream(request, new AbortController().signal)) {
      if (event.type === 'text_delta') break;
    }
    expect(await model.requests[0]?.done).toBe('aborted');
  });
});
