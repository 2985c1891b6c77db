import { StringDecoder } from 'node:string_decoder';

export interface OutputCollector {
  /** Bytes seen so far, kept or not. */
  readonly totalBytes: number;
  /** Takes the next bytes and returns their text; a character cut by the border waits for its rest. */
  add(chunk: Buffer): string;
  /** The text of a character whose rest never came. */
  end(): string;
  /** Everything if it fits, else head and tail with a line between them that says how many bytes were left out. */
  text(): string;
}

/** Collects UTF-8 output, keeping at most `capBytes` of it: the first half and the last. */
export function createOutputCollector(capBytes: number): OutputCollector {
  const decoder = new StringDecoder('utf8');
  const headCap = Math.floor(capBytes / 2);
  const tailCap = capBytes - headCap;
  const head: Buffer[] = [];
  let headBytes = 0;
  let tail: Buffer[] = [];
  let tailBytes = 0;
  let totalBytes = 0;

  function keep(chunk: Buffer): void {
    const forHead = chunk.subarray(0, headCap - headBytes);
    if (forHead.length > 0) {
      head.push(forHead);
      headBytes += forHead.length;
    }
    const forTail = chunk.subarray(forHead.length);
    if (forTail.length === 0) return;
    tail.push(forTail);
    tailBytes += forTail.length;
    // Trimmed only once it is twice too long, so that each byte is copied a bounded number of times.
    if (tailBytes > 2 * tailCap) trimTail();
  }

  function trimTail(): void {
    const kept = Buffer.concat(tail).subarray(-tailCap);
    tail = [kept];
    tailBytes = kept.length;
  }

  return {
    get totalBytes() {
      return totalBytes;
    },
    add(chunk) {
      totalBytes += chunk.length;
      keep(chunk);
      return decoder.write(chunk);
    },
    end: () => decoder.end(),
    text() {
      if (totalBytes <= capBytes) return Buffer.concat([...head, ...tail]).toString('utf8');
      if (tailBytes > tailCap) trimTail();
      const first = withoutCutEnd(Buffer.concat(head));
      const last = withoutCutStart(Buffer.concat(tail));
      const leftOut = totalBytes - first.length - last.length;
      return `${first.toString('utf8')}\n[... ${leftOut} bytes left out ...]\n${last.toString('utf8')}`;
    },
  };
}

const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80;

/** Drops the bytes of a character that the cut behind them split. */
function withoutCutEnd(bytes: Buffer): Buffer {
  let start = bytes.length - 1;
  while (start > bytes.length - 4 && isContinuation(bytes[start])) start--;
  const lead = bytes[start] ?? 0;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return start + length > bytes.length ? bytes.subarray(0, Math.max(start, 0)) : bytes;
}

/** Drops the rest of a character that the cut before it split. */
function withoutCutStart(bytes: Buffer): Buffer {
  let start = 0;
  while (start < 3 && isContinuation(bytes[start])) start++;
  return bytes.subarray(start);
}
