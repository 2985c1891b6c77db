import { Code } from '@connectrpc/connect';
import { DomainError } from './errors.ts';

type PartKind = 'string' | 'number';
/** The values of a place, by the kinds of its parts: `['number', 'string']` is `[number, string]`. */
export type PagePlace<S extends readonly PartKind[]> = {
  -readonly [K in keyof S]: S[K] extends 'number' ? number : string;
};

/** Entries in a page where the request names no size. */
export const DEFAULT_PAGE_SIZE = 100;

/** The size asked for; 0 means the default. Requests are validated against their maximum before. */
export function pageLimit(pageSize: number): number {
  return pageSize === 0 ? DEFAULT_PAGE_SIZE : pageSize;
}

/** Turns the place of a page's last entry in its order into a token that means nothing to callers. */
export function encodePageToken(place: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/**
 * The place that the page before ended at; undefined for the empty token, the first page.
 * Throws DomainError INVALID_ARGUMENT `INVALID_PAGE_TOKEN` for anything that `encodePageToken` did not make of such parts.
 */
export function decodePageToken<const S extends readonly PartKind[]>(
  token: string,
  kinds: S,
): PagePlace<S> | undefined {
  if (token === '') return undefined;
  const place = parse(token);
  if (!Array.isArray(place) || place.length !== kinds.length) throw invalidPageToken();
  for (const [index, kind] of kinds.entries()) {
    const part: unknown = place[index];
    if (typeof part !== kind || (kind === 'number' && !Number.isSafeInteger(part))) throw invalidPageToken();
  }
  return place as PagePlace<S>;
}

export interface Page<T> {
  readonly entries: readonly T[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** Makes a page of the entries that a store found for `limit + 1`: the one too many shows that there is a next page. */
export function toPage<T>(
  found: readonly T[],
  limit: number,
  placeOf: (entry: T) => readonly (string | number)[],
): Page<T> {
  const entries = found.slice(0, limit);
  const last = found.length > limit ? entries.at(-1) : undefined;
  return { entries, nextPageToken: last === undefined ? '' : encodePageToken(placeOf(last)) };
}

function parse(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString());
  } catch {
    throw invalidPageToken();
  }
}

function invalidPageToken(): DomainError {
  return new DomainError(
    Code.InvalidArgument,
    'INVALID_PAGE_TOKEN',
    'page_token is not one of this list: pass next_page_token of the answer before as it came, or nothing for the first page',
  );
}
