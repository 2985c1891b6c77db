import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createConnection } from './connection.ts';
import type { Connection } from './connection.ts';
import { playStream, playWhole, sendJson } from './play.ts';
import type { Outcome } from './play.ts';
import { COUNT_TOKENS_PATH, findRefusal, receive } from './receive.ts';
import type { Reply, ReplyContext, ReplyLike, StreamReply } from './replies.ts';
import { createScript } from './script.ts';
import type { ReplyFunction, Script, ScriptedRequest, ScriptedRequestBody } from './script.ts';
import { createId, errorBody, estimateTokens } from './wire.ts';

export interface ScriptedModelOptions {
  /** Default: nothing yet, see {@link ScriptedModel.push}. */
  replies?: Script;
  /** The only key that is accepted, as `x-api-key` or as a bearer token. Default: any key. */
  apiKey?: string;
  /** Default 0: a free port. */
  port?: number;
}

export interface ScriptedModel extends AsyncDisposable {
  /** For the SDK's `baseURL` or `ANTHROPIC_BASE_URL`, e.g. `http://127.0.0.1:40123`. */
  readonly url: string;
  /** Every request so far, in order of arrival. */
  readonly requests: readonly ScriptedRequest[];
  /** The rejections among them: a test of histories expects none. */
  readonly rejections: readonly string[];
  /** How many requests found no reply left; each was answered with 500, not to be retried. */
  readonly exhausted: number;
  /** What the functions of the script threw; each was answered with 500, not to be retried. */
  readonly scriptErrors: readonly Error[];
  /** Queues more. The queue is used before a function given as `replies`. */
  push(...replies: (ReplyLike | ReplyFunction)[]): void;
  /** Settles with the nth request (from 1) as soon as it has arrived. */
  waitForRequest(nth: number): Promise<ScriptedRequest>;
  /** Breaks what is still open and stops. */
  close(): Promise<void>;
}

interface Exchange {
  request: ScriptedRequest;
  connection: Connection;
  context: ReplyContext;
}

/**
 * Starts a server on 127.0.0.1 that speaks the Messages API and answers from a script. A request that the API would
 * refuse gets the API's error and uses up no reply.
 */
export async function startScriptedModel(options: ScriptedModelOptions = {}): Promise<ScriptedModel> {
  const script = createScript(options.replies ?? []);
  const requests: ScriptedRequest[] = [];
  const waiting = new Set<{ nth: number; resolve: (request: ScriptedRequest) => void }>();
  const signatures = new Map<string, string>();

  const note = (request: ScriptedRequest): void => {
    requests.push(request);
    for (const waiter of waiting) {
      if (waiter.nth > requests.length) continue;
      waiting.delete(waiter);
      waiter.resolve(request);
    }
  };

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const requestId = createId('req');
    response.setHeader('request-id', requestId);
    const connection = createConnection(response);
    const received = await receive(incoming);
    const refusal = findRefusal(received, options.apiKey, signatures);
    const { promise: done, resolve: finish } = Promise.withResolvers<Outcome>();
    const { path, headers } = received;
    const body = received.body as ScriptedRequestBody;
    const request = { index: requests.length, path, headers, body, rejection: refusal?.message, done };
    note(request);
    const inputTokens = estimateTokens(received.raw ?? '');
    if (refusal) {
      sendJson(response, refusal.status, errorBody(refusal.type, refusal.message, requestId));
      finish('answered');
    } else if (path === COUNT_TOKENS_PATH) {
      sendJson(response, 200, { input_tokens: inputTokens });
      finish('answered');
    } else {
      const context = { messageId: createId('msg'), requestId, model: body.model, inputTokens };
      finish(await answer({ request, connection, context }));
    }
  };

  const answer = async (exchange: Exchange): Promise<Outcome> => {
    const { request, context } = exchange;
    const { response } = exchange.connection;
    try {
      const reply = await script.next(request);
      if (reply.kind === 'stream') rememberSignatures(reply, context, signatures);
      return await perform(reply, exchange);
    } catch (error) {
      const message = script.fail(error);
      if (response.headersSent) response.destroy();
      else
        sendJson(response, 500, errorBody('api_error', message, context.requestId), {
          'x-should-retry': 'false',
        });
      return 'answered';
    }
  };

  const server = createServer((incoming, response) => {
    handle(incoming, response).catch((error: unknown) => {
      // The connection broke while the request was still coming in, so nobody is left to answer.
      response.destroy(error instanceof Error ? error : undefined);
    });
  });
  await listen(server, options.port ?? 0);
  const close = (): Promise<void> => closeServer(server);
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    requests,
    get rejections() {
      return requests.flatMap(({ rejection }) => rejection ?? []);
    },
    get exhausted() {
      return script.exhausted;
    },
    scriptErrors: script.errors,
    push: script.push,
    waitForRequest: (nth) => {
      const arrived = requests[nth - 1];
      if (arrived) return Promise.resolve(arrived);
      return new Promise((resolve) => waiting.add({ nth, resolve }));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function perform(reply: Reply, { request, connection, context }: Exchange): Promise<Outcome> {
  switch (reply.kind) {
    case 'silence':
      await connection.until(() => undefined);
      return 'aborted';
    case 'http-error': {
      const body = errorBody(reply.type, reply.message, context.requestId);
      sendJson(connection.response, reply.status, body, reply.headers);
      return 'answered';
    }
    case 'stream':
      return request.body.stream === true
        ? playStream(connection, reply.steps(context), context)
        : playWhole(connection, reply, context);
  }
}

/** What the model has thought comes back in later requests, where it is compared. */
function rememberSignatures(
  reply: StreamReply,
  context: ReplyContext,
  signatures: Map<string, string>,
): void {
  for (const block of reply.message?.(context).content ?? []) {
    if (block.type === 'thinking') signatures.set(block.signature, block.thinking);
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function closeServer(server: Server): Promise<void> {
  if (!server.listening) return Promise.resolve();
  return new Promise((resolve) => {
    server.close(() => {
      resolve();
    });
    server.closeAllConnections();
  });
}
