import { requirePart, temporaryFolder, waitFor, startProcess } from '@agentx/testing';
import { describe, expect, test } from '@jest/globals';
import { create, fromBinary, fromJson, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, JsonObject, JsonValue, MessageInitShape } from '@bufbuild/protobuf';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  EngineService,
  ListMessagesRequestSchema,
  ListMessagesResponseSchema,
  ReceiveRequestSchema,
  ReceiveResponseSchema,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { TurnStatus } from '@agentx/gen/agentx/common/v1/turn_pb.ts';
import { run } from '../harness/run.ts';
import { counted, eventsOf, newAgent, observe, textOf } from './agents.ts';

interface Response {
  status: number;
  contentType: string;
  body: Buffer;
}

/** What Connect and gRPC-Web put before each message: flags and length. */
interface Envelope {
  flags: number;
  data: Buffer;
}

const END_OF_CONNECT_STREAM = 0x02;
const GRPC_WEB_TRAILERS = 0x80;

function envelope(data: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
}

function envelopesIn(body: Buffer): Envelope[] {
  const found: Envelope[] = [];
  for (let at = 0; at + 5 <= body.length;) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    if (end > body.length) break;
    found.push({ flags: body.readUInt8(at), data: body.subarray(at + 5, end) });
    at = end;
  }
  return found;
}

const jsonOf = ({ data }: Envelope) => JSON.parse(data.toString()) as JsonValue;
const answersIn = (parts: readonly Envelope[]) =>
  parts.map((part) => fromJson(ReceiveResponseSchema, jsonOf(part)));
const enveloped = (request: JsonObject) => envelope(Buffer.from(JSON.stringify(request)));
const encoded = <D extends DescMessage>(schema: D, request: MessageInitShape<D>) =>
  envelope(toBinary(schema, create(schema, request)));

/** What anyone can do with curl: Connect as plain JSON and as a stream, and gRPC-Web. */
export function curlSuite(target: () => string): void {
  const urlOf = (method: string) => `http://${target()}/${EngineService.typeName}/${method}`;

  async function curl(url: string, options: string[], input?: Uint8Array): Promise<Response> {
    const { path } = await requirePart('curl');
    const data = input === undefined ? [] : ['--data-binary', '@-'];
    const after = '\n%{http_code} %{content_type}';
    const { stdout, stderr } = await run(path, ['-sS', '-w', after, ...options, ...data, url], {
      ...(input && { input }),
    });
    const split = stdout.lastIndexOf('\n');
    const [status, contentType = ''] = stdout
      .subarray(split + 1)
      .toString()
      .split(' ');
    if (Number(status) === 0) throw new Error(`curl got no answer: ${stderr}`);
    return { status: Number(status), contentType, body: stdout.subarray(0, split) };
  }

  const typed = (type: string) => ['-H', `content-type: ${type}`];
  const send = (method: string, type: string, input: Uint8Array, ...options: string[]) =>
    curl(urlOf(method), [...typed(type), ...options], input);
  const sendJson = async (method: string, request: JsonObject, ...options: string[]) => {
    const answer = await send(method, 'application/json', Buffer.from(JSON.stringify(request)), ...options);
    return { ...answer, json: JSON.parse(answer.body.toString()) as JsonValue };
  };

  describe.each([
    ['HTTP/1.1', '--http1.1'],
    ['HTTP/2', '--http2-prior-knowledge'],
  ])('curl by %s', (_version, http) => {
    test('streams a turn as JSON and reads the history, by POST and by GET', async () => {
      const agentId = newAgent();
      const body = enveloped({ agentId, text: 'hello' });
      const received = await send('Receive', 'application/connect+json', body, http);
      expect(received).toMatchObject({ status: 200, contentType: 'application/connect+json' });
      const parts = envelopesIn(received.body);
      const events = eventsOf(answersIn(parts.slice(0, -1)));
      expect(events[0]?.payload.case).toBe('turnAccepted');
      expect(textOf(events)).toContain('You said: hello');
      expect(events.at(-1)?.payload.case).toBe('turnEnded');
      expect(parts.at(-1)?.flags).toBe(END_OF_CONNECT_STREAM);
      expect(jsonOf(parts.at(-1)!)).not.toHaveProperty('error');

      const listed = await sendJson('ListMessages', { agentId }, http);
      expect(listed).toMatchObject({ status: 200, contentType: 'application/json' });
      expect(fromJson(ListMessagesResponseSchema, listed.json).messages).toHaveLength(2);
      const query = new URLSearchParams({
        connect: 'v1',
        encoding: 'json',
        message: JSON.stringify({ agentId }),
      });
      const got = await curl(`${urlOf('ListMessages')}?${query.toString()}`, [http]);
      expect(JSON.parse(got.body.toString())).toEqual(listed.json);
    });

    test('is told the reason of an error', async () => {
      const { status, json } = await sendJson('ListMessages', { agentId: newAgent() }, http);
      expect(status).toBe(404);
      expect(json).toMatchObject({
        code: 'not_found',
        details: [{ type: 'google.rpc.ErrorInfo', debug: { domain: 'agentx', reason: 'AGENT_NOT_FOUND' } }],
      });

      const refused = await send('Receive', 'application/connect+json', enveloped({ agentId: '!' }), http);
      expect(refused.status).toBe(200);
      const [end, ...more] = envelopesIn(refused.body);
      expect(more).toEqual([]);
      expect(jsonOf(end!)).toMatchObject({ error: { code: 'invalid_argument' } });
    });

    test('speaks gRPC-Web', async () => {
      const agentId = newAgent();
      const type = 'application/grpc-web+proto';
      const request = encoded(ReceiveRequestSchema, { agentId, input: { case: 'text', value: 'hello' } });
      const received = await send('Receive', type, request, http);
      expect(received).toMatchObject({ status: 200, contentType: type });
      const parts = envelopesIn(received.body);
      const events = parts.slice(0, -1).map(({ data }) => fromBinary(ReceiveResponseSchema, data).event);
      expect(events.at(-1)?.payload.case).toBe('turnEnded');
      expect(parts.at(-1)?.flags).toBe(GRPC_WEB_TRAILERS);
      expect(parts.at(-1)?.data.toString()).toMatch(/grpc-status: ?0/);

      const listed = await send('ListMessages', type, encoded(ListMessagesRequestSchema, { agentId }), http);
      const [answer] = envelopesIn(listed.body);
      expect(fromBinary(ListMessagesResponseSchema, answer!.data).messages).toHaveLength(2);
    });

    test('is told that gRPC-Web in base64 is not spoken here', async () => {
      const request = encoded(ListMessagesRequestSchema, { agentId: 'a' }).toString('base64');
      // A refusal may overtake the request's body; a proxy then resets the stream, which HTTP/2 allows after a whole answer
      // (RFC 9113, 8.1), and curl 7.88 now and then drops the answer for it. Its own retry is what its users have.
      const again = ['--retry', '3', '--retry-all-errors', '--retry-delay', '0'];
      const body = Buffer.from(request);
      const { status } = await send('ListMessages', 'application/grpc-web-text', body, http, ...again);
      expect(status).toBe(415);
    });

    test('gets events while the turn still runs', async () => {
      await using folder = await temporaryFolder();
      const output = join(folder.path, 'events');
      const agentId = newAgent();
      const request = join(folder.path, 'request');
      await writeFile(request, enveloped({ agentId, text: '!stream 20 200' }));
      const { path } = await requirePart('curl');
      const args = ['-sSN', http, '-o', output, ...typed('application/connect+json')];
      await using running = await startProcess({
        name: 'curl',
        command: path,
        args: [...args, '--data-binary', `@${request}`, urlOf('Receive')],
      });
      const seen = async () => envelopesIn(await readFile(output));
      const first = await waitFor(async () => answersIn((await seen()).slice(0, 1))[0]?.event, {
        what: "the turn's first event",
      });
      const { turn } = await observe(target()).getTurn({ agentId, turnId: first.turnId });
      expect(turn?.status).toBe(TurnStatus.RUNNING);
      expect(await running.exited).toEqual({ code: 0, signal: null });
      expect(textOf(eventsOf(answersIn((await seen()).slice(0, -1))))).toContain(counted(20));
    });
  });
}
