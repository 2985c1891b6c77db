import type { ServerResponse } from 'node:http';
import type { Connection } from './connection.ts';
import type { RepeatStep, ReplyContext, Step, StreamReply } from './replies.ts';
import { encodeRawEvent, errorBody } from './wire.ts';

/** `answered`: in full, errors included; `cut`: broken off as scripted; `aborted`: the client or the server closed first. */
export type Outcome = 'answered' | 'cut' | 'aborted';

/** Statuses of the error types, for a mid-stream error that answers a request without a stream. */
const STATUS_BY_TYPE: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  timeout_error: 504,
  overloaded_error: 529,
};

/** Plays a reply as server-sent events. */
export async function playStream(
  connection: Connection,
  steps: readonly Step[],
  context: ReplyContext,
): Promise<Outcome> {
  for (const step of steps) {
    if (connection.gone) return 'aborted';
    switch (step.kind) {
      case 'event':
        await write(connection, step.bytes);
        break;
      case 'repeat':
        await writeRepeated(connection, step);
        break;
      case 'delay':
      case 'gate':
        await wait(connection, step);
        break;
      case 'cut':
        connection.response.destroy();
        return 'cut';
      case 'end':
        return end(connection);
      case 'error': {
        const body = errorBody(step.type, step.message, context.requestId);
        await write(connection, encodeRawEvent('error', JSON.stringify(body)));
        return end(connection);
      }
    }
  }
  return end(connection);
}

/** Plays a reply as one JSON body: it waits and breaks where the stream would, then sends the whole message. */
export async function playWhole(
  connection: Connection,
  reply: StreamReply,
  context: ReplyContext,
): Promise<Outcome> {
  const { response } = connection;
  for (const step of reply.steps(context)) {
    switch (step.kind) {
      case 'event':
        break;
      case 'repeat':
        await connection.sleep(step.perEventMs * step.count);
        break;
      case 'delay':
      case 'gate':
        await wait(connection, step);
        break;
      case 'cut':
      case 'end':
        response.destroy();
        return 'cut';
      case 'error': {
        const body = errorBody(step.type, step.message, context.requestId);
        sendJson(response, STATUS_BY_TYPE[step.type] ?? 500, body);
        return 'answered';
      }
    }
    if (connection.gone) return 'aborted';
  }
  if (!reply.message) throw new Error('this reply can only be streamed: the request must say "stream": true');
  sendJson(response, 200, reply.message(context));
  return 'answered';
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

function wait(connection: Connection, step: Extract<Step, { kind: 'delay' | 'gate' }>): Promise<void> {
  if (step.kind === 'delay') return connection.sleep(step.ms);
  return connection.until((done, failed) => {
    step.opened.then(done, failed);
  });
}

function end(connection: Connection): Outcome {
  if (connection.gone) return 'aborted';
  writeStreamHead(connection.response);
  connection.response.end();
  return 'answered';
}

/** Settles when the bytes are with the kernel, so that a slow reader holds the script back. */
function write(connection: Connection, bytes: string | Buffer): Promise<void> {
  return connection.until((done) => {
    writeStreamHead(connection.response);
    // A write that fails means that the connection is gone, which the caller looks at.
    connection.response.write(bytes, () => {
      done();
    });
  });
}

function writeStreamHead(response: ServerResponse): void {
  if (response.headersSent) return;
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  });
}

/** Writes what falls due at each tick in one piece: a fast pace does not cost a timer per event. */
async function writeRepeated(connection: Connection, step: RepeatStep): Promise<void> {
  const { unit, count, perEventMs } = step;
  if (perEventMs === 0) {
    await write(connection, step.whole ?? Buffer.alloc(unit.length * count, unit));
    return;
  }
  const startMs = performance.now();
  for (let sent = 0; sent < count && !connection.gone;) {
    const elapsedMs = performance.now() - startMs;
    const due = Math.min(count, Math.floor(elapsedMs / perEventMs));
    if (due > sent) {
      await write(connection, Buffer.alloc(unit.length * (due - sent), unit));
      sent = due;
    } else {
      await connection.sleep((sent + 1) * perEventMs - elapsedMs);
    }
  }
}
