import { calcPrice } from '@pydantic/genai-prices';
import { create } from '@bufbuild/protobuf';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import fc from 'fast-check';
import { priceUsage } from './pricing.ts';

function price(
  model: string,
  usage: Partial<Omit<TokenUsage, '$typeName' | '$unknown'>>,
): bigint | undefined {
  return priceUsage(model, create(TokenUsageSchema, usage))?.costMicroUsd;
}

afterEach(() => {
  jest.useRealTimers();
});

describe('priceUsage', () => {
  test('prices each kind of token', () => {
    // Dollars per million: input 1, output 5, read 0.1, written for 5 minutes 1.25, for an hour 2; a search costs a cent.
    const model = 'claude-haiku-4-5-20251001';
    expect(price(model, { inputTokens: 1_000n })).toBe(1_000n);
    expect(price(model, { outputTokens: 1_000n })).toBe(5_000n);
    expect(price(model, { cacheReadTokens: 1_000n })).toBe(100n);
    expect(price(model, { cacheWrite5mTokens: 1_000n })).toBe(1_250n);
    expect(price(model, { cacheWrite1hTokens: 1_000n })).toBe(2_000n);
    expect(price(model, { serverToolRequests: 1n })).toBe(10_000n);
    expect(price(model, {})).toBe(0n);
  });

  test('rounds half up, once, and stays exact where numbers do not', () => {
    const model = 'claude-haiku-4-5';
    expect(price(model, { cacheReadTokens: 4n })).toBe(0n);
    expect(price(model, { cacheReadTokens: 5n })).toBe(1n);
    expect(price(model, { cacheWrite5mTokens: 2n })).toBe(3n);
    expect(price(model, { cacheReadTokens: 4n, cacheWrite5mTokens: 1n })).toBe(2n);
    expect(price(model, { outputTokens: 9_007_199_254_740_993n })).toBe(45_035_996_273_704_965n);
  });

  test('a long input costs more where the model says so, cached input counted', () => {
    const model = 'claude-sonnet-4-5';
    expect(price(model, { inputTokens: 200_000n, outputTokens: 1n })).toBe(600_015n);
    expect(price(model, { inputTokens: 1n, cacheReadTokens: 200_000n, outputTokens: 2n })).toBe(120_051n);
  });

  test('a change of price holds from its day on', () => {
    jest.useFakeTimers({ now: new Date('2026-03-12T23:00:00Z') });
    expect(price('claude-sonnet-4-6', { inputTokens: 300_000n })).toBe(1_800_000n);
    jest.setSystemTime(new Date('2026-03-13T01:00:00Z'));
    expect(price('claude-sonnet-4-6', { inputTokens: 300_000n })).toBe(900_000n);
  });

  test('names the price table', () => {
    const priced = priceUsage('claude-sonnet-5', create(TokenUsageSchema));
    expect(priced?.priceTableVersion).toMatch(/^genai-prices \d+\.\d+\.\d+$/);
  });

  test.each(['simulated', 'claude-nonsense-9', 'gpt-4o', ''])('does not know the price of "%s"', (model) => {
    expect(price(model, { inputTokens: 1n })).toBeUndefined();
  });

  test("agrees with the price table's own arithmetic", () => {
    const count = fc.nat(400_000);
    const model = fc.constantFrom(
      'claude-sonnet-4-5',
      'claude-opus-4-6',
      'claude-sonnet-5',
      'claude-3-haiku-20240307',
    );
    fc.assert(
      fc.property(model, count, count, count, count, count, (name, input, output, read, for5m, for1h) => {
        const total = input + read + for5m + for1h;
        const usage = {
          input_tokens: total,
          output_tokens: output,
          cache_read_tokens: read,
          cache_write_tokens: for5m + for1h,
          cache_write_1h_tokens: for1h,
        };
        const expected = (calcPrice(usage, name, { providerId: 'anthropic' })?.total_price ?? 0) * 1e6;
        const actual = price(name, {
          inputTokens: BigInt(input),
          outputTokens: BigInt(output),
          cacheReadTokens: BigInt(read),
          cacheWrite5mTokens: BigInt(for5m),
          cacheWrite1hTokens: BigInt(for1h),
        });
        expect(Math.abs(Number(actual) - expected)).toBeLessThanOrEqual(0.5001);
      }),
    );
  });
});
