import { InvalidValue } from './invalid-value.ts';

/** Where a store is. */
export type StoreTarget =
  | { readonly kind: 'local' }
  /** `target`: a gRPC target, as grpc-js reads it. */
  | { readonly kind: 'grpc'; readonly target: string };

const expected = 'local, dns:///host:port, or ipv4:address:port,address:port';

const host = String.raw`[^\s:/,@[\]]+`;
const port = String.raw`:\d{1,5}`;
const forms = [
  new RegExp(`^dns:(?://[^/\\s]*/)?${host}${port}$`),
  new RegExp(String.raw`^ipv4:\d+(?:\.\d+){3}${port}(?:,\d+(?:\.\d+){3}${port})*$`),
  new RegExp(String.raw`^ipv6:\[[0-9A-Fa-f:.]+\]${port}(?:,\[[0-9A-Fa-f:.]+\]${port})*$`),
  /^unix:\S+$/,
];

/** Reads `local` or a gRPC target; `host:port` is short for `dns:///host:port`. Throws `InvalidValue`. */
export function parseStoreTarget(text: string): StoreTarget {
  if (text === 'local') return { kind: 'local' };
  if (forms.some((form) => form.test(text))) return { kind: 'grpc', target: text };
  const plain = new RegExp(`^(?:https?://)?(${host}${port})/?$`).exec(text)?.[1];
  if (plain !== undefined && plain === text) return { kind: 'grpc', target: `dns:///${plain}` };
  if (plain !== undefined) throw new InvalidValue('is a web address, not a gRPC target', `dns:///${plain}`);
  if (/^dns:\S+$/.test(text)) throw new InvalidValue('has no port', expected);
  throw new InvalidValue('is not a gRPC target', expected);
}
