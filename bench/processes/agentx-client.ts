/**
 * The users of AgentX. They speak gRPC with Node's own HTTP/2 and keep the answers as bytes until the load is over:
 * server, model and users share the machine, and what the users need must not decide what the server gets.
 */
import { once } from 'node:events';
import { connect } from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { StopReason, StopReasonSchema } from '@agentx/gen/agentx/common/v1/usage_pb.ts';
import {
  EngineService,
  ReceiveRequestSchema,
  ReceiveResponseSchema,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type { Load } from './load.ts';
import { answerLoads } from './run-load.ts';
import type { DoneTurn } from './run-load.ts';

const PREFIX_BYTES = 5;
const HEADERS = {
  ':method': 'POST',
  ':path': `/${EngineService.typeName}/${EngineService.method.receive.name}`,
  'content-type': 'application/grpc+proto',
  te: 'trailers',
};

answerLoads(async (load) => {
  const { hostname, port } = new URL(load.target);
  const socket = connectSocket(Number(port), hostname);
  await once(socket, 'connect');
  const session = connect(load.target, { createConnection: () => socket });
  return {
    turn: (name, question) => runTurn(session, load, name, question),
    close: async () => {
      const { bytesRead } = socket;
      const closed = once(session, 'close');
      session.close();
      await closed;
      return { bytesReceived: bytesRead };
    },
  };
});

/** @param name of the turn, and of its agent: nobody has talked to it before */
function runTurn(session: ClientHttp2Session, load: Load, name: string, question: string): Promise<DoneTurn> {
  const { promise, resolve, reject } = Promise.withResolvers<DoneTurn>();
  const chunks: Buffer[] = [];
  let firstTextMs = 0;
  let status = 'none';
  const stream = session.request(HEADERS);
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    if (firstTextMs === 0 && readEvents(chunks).some(isText)) firstTextMs = performance.now();
  });
  const readStatus = (headers: IncomingHttpHeaders) => {
    const code = headers['grpc-status'];
    if (typeof code !== 'string') return;
    const message = headers['grpc-message'];
    status = typeof message === 'string' ? `${code} ${decodeURIComponent(message)}` : code;
  };
  stream.on('response', readStatus);
  stream.on('trailers', readStatus);
  stream.on('error', reject);
  stream.on('close', () => {
    if (status === '0') resolve({ firstTextMs, check: () => checkTurn(load, name, [...readEvents(chunks)]) });
    else reject(new Error(`the call ended with gRPC status ${status}`));
  });
  const request = create(ReceiveRequestSchema, {
    agentId: name,
    requestId: name,
    input: { case: 'text', value: question },
  });
  const message = toBinary(ReceiveRequestSchema, request);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([prefix, message]));
  return promise;
}

/** The events of the whole messages among the bytes. */
function* readEvents(chunks: readonly Buffer[]): Generator<AgentEvent, void> {
  const bytes = Buffer.concat(chunks);
  for (let from = 0; from + PREFIX_BYTES <= bytes.length;) {
    const end = from + PREFIX_BYTES + bytes.readUInt32BE(from + 1);
    if (end > bytes.length) break;
    const { event } = fromBinary(ReceiveResponseSchema, bytes.subarray(from + PREFIX_BYTES, end));
    if (event !== undefined) yield event;
    from = end;
  }
}

const isText = ({ payload }: AgentEvent) => payload.case === 'textDelta';

function checkTurn(load: Load, name: string, events: readonly AgentEvent[]): void {
  const expected = load.deltaText.repeat(load.deltas);
  const fail = (what: string) => {
    throw new Error(`${name}: ${what}`);
  };
  if (events[0]?.payload.case !== 'turnAccepted') fail('the first event is not turn_accepted');
  const pieces = events.flatMap(({ payload }) => (payload.case === 'textDelta' ? [payload.value.text] : []));
  if (pieces.length !== load.deltas) fail(`${pieces.length} text deltas, not ${load.deltas}`);
  if (pieces.join('') !== expected) fail('the text deltas are not the answer');
  if (!events.some((event) => assistantText(event) === expected)) fail('no message event has the answer');
  const last = events.at(-1)?.payload;
  if (last?.case !== 'turnEnded') fail('the last event is not turn_ended');
  else if (last.value.stopReason !== StopReason.END_TURN)
    fail(
      `${StopReasonSchema.value[last.value.stopReason]?.name ?? 'unknown stop reason'}: ${last.value.message}`,
    );
}

function assistantText({ payload }: AgentEvent): string | undefined {
  if (payload.case !== 'message' || payload.value.body.case !== 'assistant') return undefined;
  return payload.value.body.value.content
    .map(({ part }) => (part.case === 'text' ? part.value.text : ''))
    .join('');
}
