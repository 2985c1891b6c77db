import { describe, expect, test } from '@jest/globals';
import { createCursorCodec } from './cursor.ts';

describe('cursors', () => {
  const codec = createCursorCodec('default', 'a1');

  test('give back the place they were made of, beyond what a double can hold', () => {
    const seq = 2n ** 60n + 1n;
    expect(codec.decode(codec.encode(7n, seq))).toEqual({ epoch: 7n, seq });
  });

  test.each(['', 'x', '1.2', '1.2.abcdef', 'A.2.abcdef', `${codec.encode(1n, 2)}0`])(
    'refuse %j',
    (cursor) => {
      expect(() => codec.decode(cursor)).toThrow(/not one of agent a1/);
    },
  );

  test.each([
    ['default', 'a2'],
    ['other', 'a1'],
  ])('refuse the cursor of agent %s/%s', (tenantId, agentId) => {
    const foreign = createCursorCodec(tenantId, agentId).encode(1n, 2);
    expect(() => codec.decode(foreign)).toThrow(expect.objectContaining({ reason: 'INVALID_CURSOR' }));
  });
});
