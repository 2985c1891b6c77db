import { create } from '@bufbuild/protobuf';
import { expect, test } from '@jest/globals';
import { TokenUsageSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { sumUsage } from './usage.ts';
import type { AttemptCost } from './usage.ts';

const usage = create(TokenUsageSchema, {
  inputTokens: 1n,
  outputTokens: 2n,
  cacheReadTokens: 3n,
  cacheWrite5mTokens: 4n,
  cacheWrite1hTokens: 5n,
  serverToolRequests: 6n,
});
const priced: AttemptCost = {
  usage,
  costMicroUsd: 10n,
  priceTableVersion: 'v1',
  wasted: false,
  estimated: false,
};
const unpriced: AttemptCost = { ...priced, costMicroUsd: undefined, priceTableVersion: '' };
/** Refused before anything was used. */
const refused: AttemptCost = {
  ...priced,
  usage: undefined,
  costMicroUsd: 0n,
  priceTableVersion: '',
  wasted: true,
};
/** Its engine died; nothing is known of it. */
const cut: AttemptCost = { ...refused, estimated: true };

test('adds up every count and every cost', () => {
  const sum = sumUsage([priced, { ...priced, costMicroUsd: 5n, wasted: true }]);
  expect(sum).toMatchObject({ attempts: 2, costMicroUsd: 15n, priceTableVersion: 'v1', estimated: false });
  expect(sum.usage).toMatchObject({
    inputTokens: 2n,
    outputTokens: 4n,
    cacheReadTokens: 6n,
    cacheWrite5mTokens: 8n,
    cacheWrite1hTokens: 10n,
    serverToolRequests: 12n,
  });
  expect(sum.wasted).toEqual(usage);
});

test.each([
  ['nothing', [], undefined, ''],
  ['a model without a price', [unpriced], undefined, ''],
  ['a model with a price and one without', [priced, unpriced], undefined, ''],
  ['a call that was refused after a priced one', [priced, refused], 10n, 'v1'],
  ['only a call that was refused', [refused], 0n, ''],
  ['a call that was cut after a priced one', [priced, cut], 10n, 'v1'],
  ['only a call that was cut', [cut], undefined, ''],
  ['a call that was cut after an unpriced one', [unpriced, cut], undefined, ''],
])('the cost of %s', (_, attempts: AttemptCost[], costMicroUsd, priceTableVersion) => {
  expect(sumUsage(attempts)).toMatchObject({ costMicroUsd, priceTableVersion });
});

test('says when a part is only estimated, and what was wasted as far as it is known', () => {
  expect(sumUsage([priced, cut])).toMatchObject({ estimated: true, wasted: undefined });
  expect(sumUsage([priced, { ...priced, wasted: true, estimated: true }])).toMatchObject({
    estimated: true,
    costMicroUsd: 20n,
    wasted: usage,
  });
});
