import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { createOutputCollector } from './output.ts';

test('text that fits is kept as it is, however it is cut into chunks', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 5 }), (text, size) => {
      const collector = createOutputCollector(10_000);
      const bytes = Buffer.from(text);
      let live = '';
      for (let at = 0; at < bytes.length; at += size) live += collector.add(bytes.subarray(at, at + size));
      live += collector.end();
      expect(live).toBe(text);
      expect(collector.text()).toBe(text);
    }),
  );
});

test('longer text keeps whole characters of head and tail, and counts the rest', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme', minLength: 80 }),
      fc.integer({ min: 8, max: 60 }),
      (text, cap) => {
        const collector = createOutputCollector(cap);
        const bytes = Buffer.from(text);
        for (let at = 0; at < bytes.length; at += 7) collector.add(bytes.subarray(at, at + 7));
        const parts = /^([^]*)\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n([^]*)$/.exec(collector.text());
        const [, head = '', leftOut, tail = ''] = parts ?? [];
        expect(text.startsWith(head)).toBe(true);
        expect(text.endsWith(tail)).toBe(true);
        const kept = Buffer.byteLength(head) + Buffer.byteLength(tail);
        expect(kept).toBeLessThanOrEqual(cap);
        expect(kept).toBeGreaterThan(cap - 7);
        expect(kept + Number(leftOut)).toBe(bytes.length);
      },
    ),
  );
});

test('bytes that are no UTF-8 become replacement characters', () => {
  const collector = createOutputCollector(100);
  expect(collector.add(Buffer.from([0x61, 0xff, 0xe2]))).toBe('a\ufffd');
  expect(collector.end()).toBe('\ufffd');
  expect(collector.text()).toBe('a\ufffd\ufffd');
});
