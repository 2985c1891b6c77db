import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** A span as it was received. */
export interface ReceivedSpan {
  /** The resource's `service.name`. */
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first span of a trace. */
  readonly parentId: string;
  readonly name: string;
  /** As numbered by OTLP: 1 internal, 2 server, 3 client. */
  readonly kind: number;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** Ids of the spans that it points at. */
  readonly links: readonly string[];
  readonly failed: boolean;
}

/** An OTLP endpoint over HTTP that keeps what it is sent. */
export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  readonly spans: readonly ReceivedSpan[];
  /** Everything that was received, as it was: for whoever looks for what must not be there. */
  readonly bodies: readonly Buffer[];
  /** Headers of the requests. */
  readonly headers: readonly NodeJS.Dict<string | string[]>[];
}

export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = [];
  const bodies: Buffer[] = [];
  const headers: NodeJS.Dict<string | string[]>[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const sent = Buffer.concat(chunks);
      const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
      const known =
        request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf';
      if (known) {
        headers.push(request.headers);
        bodies.push(body);
        spans.push(...decodeRequest(body));
      }
      response.writeHead(known ? 200 : 400, { 'content-type': 'application/x-protobuf' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    bodies,
    headers,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

/** A protobuf message without its schema: values by field number. Numbers of 64 bits are left out. */
type Fields = ReadonlyMap<number, readonly (Uint8Array | number)[]>;

function decode(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, (Uint8Array | number)[]>();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const value = decodeValue(reader, field, type);
    if (value !== undefined) fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return fields;
}

function decodeValue(reader: BinaryReader, field: number, type: WireType): Uint8Array | number | undefined {
  switch (type) {
    case WireType.LengthDelimited:
      return reader.bytes();
    case WireType.Varint:
      return Number(reader.int64());
    default:
      reader.skip(type, field);
      return undefined;
  }
}

const messages = (fields: Fields, field: number): Fields[] => blobs(fields, field).map(decode);
const blobs = (fields: Fields, field: number): Uint8Array[] =>
  (fields.get(field) ?? []).filter((value) => value instanceof Uint8Array);
const text = (fields: Fields, field: number): string => Buffer.from(blobs(fields, field)[0] ?? []).toString();
const hex = (fields: Fields, field: number): string =>
  Buffer.from(blobs(fields, field)[0] ?? []).toString('hex');
const number = (fields: Fields, field: number): number => Number(fields.get(field)?.[0] ?? 0);

/** Field numbers are those of opentelemetry/proto/{collector/trace,trace,resource,common}/v1. */
function decodeRequest(body: Uint8Array): ReceivedSpan[] {
  return messages(decode(body), 1).flatMap((resourceSpans) => {
    const resource = messages(resourceSpans, 1)[0] ?? new Map<number, never>();
    const service = String(attributesOf(resource, 1)['service.name']);
    return messages(resourceSpans, 2)
      .flatMap((scopeSpans) => messages(scopeSpans, 2))
      .map((span) => decodeSpan(service, span));
  });
}

function decodeSpan(service: string, span: Fields): ReceivedSpan {
  return {
    service,
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    parentId: hex(span, 4),
    name: text(span, 5),
    kind: number(span, 6),
    attributes: attributesOf(span, 9),
    links: messages(span, 13).map((link) => hex(link, 2)),
    failed: messages(span, 15).some((status) => number(status, 3) === 2),
  };
}

function attributesOf(fields: Fields, field: number): Record<string, unknown> {
  return Object.fromEntries(
    messages(fields, field).map((pair) => [
      text(pair, 1),
      valueOf(messages(pair, 2)[0] ?? new Map<number, never>()),
    ]),
  );
}

function valueOf(value: Fields): unknown {
  const [field] = value.keys();
  switch (field) {
    case 1:
      return text(value, 1);
    case 2:
      return number(value, 2) === 1;
    case 3:
      return number(value, 3);
    case 5:
      return messages(value, 5)
        .flatMap((list) => messages(list, 1))
        .map(valueOf);
    default:
      return undefined;
  }
}
