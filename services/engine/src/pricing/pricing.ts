import { calcPrice } from '@pydantic/genai-prices';
import type { ModelPrice } from '@pydantic/genai-prices';
import type { TokenUsage } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import { PRICE_TABLE_VERSION } from './price-table-version.ts';

/** What a usage costs. */
export interface Price {
  /** In millionths of a US dollar, rounded half up. */
  readonly costMicroUsd: bigint;
  /** The price table that it was computed with, e.g. `genai-prices 0.1.8`. */
  readonly priceTableVersion: string;
}

/** Prices of one unit in billionths of a micro-USD, exact: dollars per million tokens are micro-USD per token. */
interface UnitPrices {
  readonly input: bigint;
  readonly output: bigint;
  readonly cacheRead: bigint;
  readonly cacheWrite5m: bigint;
  readonly cacheWrite1h: bigint;
  readonly serverToolRequest: bigint;
}

/** From the tier that holds for the size of a call's input: some models' long contexts cost more. */
interface Tier {
  /** Holds for more input tokens than this. */
  readonly above: bigint;
  readonly prices: UnitPrices;
}

const SCALE = 1_000_000_000;
const DAY_MS = 86_400_000;
/** Model names come from outside. */
const MAX_CACHED = 1_000;
const cache = new Map<string, readonly Tier[] | undefined>();
let cachedDay = 0;

/**
 * Prices the usage of one model call by Anthropic's list, as of now; nothing is asked of the network. Undefined where the
 * price of the model is not known, which does not mean that it is free: the simulated model, models of other providers.
 *
 * Call it for each model call and add up the costs: prices may depend on the size of a call's input. Server tool requests
 * cost what a web search does; free ones, such as fetches, are not told apart.
 *
 * @param model as the provider names it
 */
export function priceUsage(model: string, usage: TokenUsage): Price | undefined {
  const tiers = lookUp(model);
  if (!tiers) return undefined;
  const input =
    usage.inputTokens + usage.cacheReadTokens + usage.cacheWrite5mTokens + usage.cacheWrite1hTokens;
  const tier = tiers.findLast(({ above }) => input > above) ?? tiers[0];
  if (!tier) return undefined;
  const { prices } = tier;
  const exact =
    usage.inputTokens * prices.input +
    usage.outputTokens * prices.output +
    usage.cacheReadTokens * prices.cacheRead +
    usage.cacheWrite5mTokens * prices.cacheWrite5m +
    usage.cacheWrite1hTokens * prices.cacheWrite1h +
    usage.serverToolRequests * prices.serverToolRequest;
  const scale = BigInt(SCALE);
  return { costMicroUsd: (exact + scale / 2n) / scale, priceTableVersion: PRICE_TABLE_VERSION };
}

/** Prices change at most daily, so that a look-up serves until midnight UTC. */
function lookUp(model: string): readonly Tier[] | undefined {
  const day = Math.floor(Date.now() / DAY_MS);
  if (day !== cachedDay || cache.size >= MAX_CACHED) {
    cache.clear();
    cachedDay = day;
  }
  if (!cache.has(model)) cache.set(model, readTiers(model));
  return cache.get(model);
}

function readTiers(model: string): readonly Tier[] | undefined {
  const found = calcPrice({ input_tokens: 0, output_tokens: 0 }, model, { providerId: 'anthropic' });
  if (!found) return undefined;
  const starts = new Set([0]);
  for (const price of Object.values(found.model_price)) {
    if (typeof price === 'object') for (const { start } of price.tiers) starts.add(start);
  }
  const tiers: Tier[] = [];
  for (const start of [...starts].sort((left, right) => left - right)) {
    const prices = readUnitPrices(found.model_price, start);
    if (!prices) return undefined;
    tiers.push({ above: BigInt(start), prices });
  }
  return tiers;
}

function readUnitPrices(table: ModelPrice, tierStart: number): UnitPrices | undefined {
  const read = (key: string): bigint | undefined => {
    const price = table[key];
    if (price === undefined) return undefined;
    if (typeof price === 'number') return scale(price);
    const tiers = price.tiers.filter(({ start }) => start <= tierStart);
    const tier = tiers.reduce((highest, next) => (next.start >= highest.start ? next : highest), {
      start: 0,
      price: price.base,
    });
    return scale(tier.price);
  };
  const input = read('input_mtok');
  const output = read('output_mtok');
  if (input === undefined || output === undefined) return undefined;
  return {
    input,
    output,
    // The few models without a price for cached input never had a prompt cache.
    cacheRead: read('cache_read_mtok') ?? input,
    cacheWrite5m: read('cache_write_mtok') ?? input,
    // Anthropic's rule, should the table lack it: twice the input price.
    cacheWrite1h: read('cache_write_1h_mtok') ?? input * 2n,
    // Dollars per thousand; 1,000 micro-USD a piece for each.
    serverToolRequest: (read('web_searches_kcount') ?? 0n) * 1_000n,
  };
}

function scale(price: number): bigint {
  return BigInt(Math.round(price * SCALE));
}
