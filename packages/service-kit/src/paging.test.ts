import { describe, expect, test } from '@jest/globals';
import { reasonOf } from './errors.ts';
import { decodePageToken, encodePageToken, pageLimit, toPage } from './paging.ts';

const kinds = ['number', 'string'] as const;

function reasonFor(token: string): string | undefined {
  try {
    decodePageToken(token, kinds);
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

describe('page tokens', () => {
  test('carry a place there and back', () => {
    expect(decodePageToken(encodePageToken([5, 'turn "ü"']), kinds)).toEqual([5, 'turn "ü"']);
    expect(decodePageToken('', kinds)).toBeUndefined();
  });

  test.each([
    ['no token at all', 'hello'],
    ['a token of another list', encodePageToken(['agent-1'])],
    ['the parts in another order', encodePageToken(['a', 1])],
    ['a fraction', encodePageToken([1.5, 'a'])],
    ['an object', Buffer.from('{"length":2}').toString('base64url')],
  ])('%s is refused', (_, token) => {
    expect(reasonFor(token)).toBe('INVALID_PAGE_TOKEN');
  });
});

test('a page has a next one only when there is more', () => {
  const place = (entry: string) => [entry];
  expect(toPage(['a', 'b', 'c'], 2, place)).toEqual({
    entries: ['a', 'b'],
    nextPageToken: encodePageToken(['b']),
  });
  expect(toPage(['a', 'b'], 2, place)).toEqual({ entries: ['a', 'b'], nextPageToken: '' });
  expect(pageLimit(0)).toBe(100);
  expect(pageLimit(7)).toBe(7);
});
