import { create, fromJson, toJson } from '@bufbuild/protobuf';
import type {
  DescMessage,
  DescMethod,
  JsonObject,
  JsonValue,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import { startProcess } from '@agentx/testing';
import type { RunningProcess } from '@agentx/testing';

/** A program that makes one gRPC call with stubs generated from `proto/`: those in `python/` and `go/`. */
export interface ClientProgram {
  name: string;
  command: string;
  /** Before the call. */
  args: readonly string[];
}

export interface CallOptions {
  headers?: Record<string, string>;
  timeoutMs?: number;
  /** Cancels the call once so many answers have come. */
  cancelAfter?: number;
  /** Pings the server so often while it says nothing. */
  keepaliveMs?: number;
}

/** What a client program is given as JSON. */
interface Call extends CallOptions {
  target: string;
  service: string;
  method: string;
  /** As protobuf JSON. */
  request: JsonValue;
}

/** A method with its types. */
export type Method<I extends DescMessage, O extends DescMessage> = DescMethod & { input: I; output: O };

/** How a call ended, as the client saw it. */
export interface CallStatus {
  /** As the gRPC specification writes it: `NOT_FOUND`. */
  code: string;
  message?: string;
  /** The messages in grpc-status-details-bin, as JSON with `@type`. */
  details?: JsonObject[];
}

export interface CallResult<O extends DescMessage> {
  messages: MessageShape<O>[];
  status: CallStatus;
}

/** A call that runs. */
export interface RunningCall<O extends DescMessage> extends AsyncDisposable {
  /** The answers so far. */
  messages(): MessageShape<O>[];
  /** Waits until a line of JSON that the client printed matches. */
  waitForLine: RunningProcess['waitForLine'];
  /** Waits for the end. */
  result(): Promise<CallResult<O>>;
}

interface Line {
  message?: JsonValue;
  status?: CallStatus;
}

const callTimeoutMs = 60_000;

/** Starts a call. `target`: `127.0.0.1:port`. */
export async function startCall<I extends DescMessage, O extends DescMessage>(
  program: ClientProgram,
  target: string,
  method: Method<I, O>,
  request: MessageInitShape<I>,
  options: CallOptions = {},
): Promise<RunningCall<O>> {
  const running = await startProgram(program, {
    target,
    service: method.parent.typeName,
    method: method.name,
    request: toJson(method.input, create(method.input, request)),
    ...options,
  });
  const decode = (lines: Line[]) =>
    lines.flatMap(({ message }) => (message === undefined ? [] : fromJson(method.output, message)));
  return {
    messages: () => decode(linesOf(running)),
    waitForLine: (pattern, timeoutMs) => running.waitForLine(pattern, timeoutMs),
    result: async () => {
      const { lines, status } = await endOf(running);
      return { messages: decode(lines), status };
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

/** Makes a call and waits for its end. */
export async function call<I extends DescMessage, O extends DescMessage>(
  ...args: Parameters<typeof startCall<I, O>>
): Promise<CallResult<O>> {
  await using running = await startCall(...args);
  return await running.result();
}

/** The services of a server and their methods, as grpcio's client learns them by reflection, which it speaks as v1alpha. */
export async function describeByReflection(
  python: ClientProgram,
  target: string,
): Promise<Record<string, string[]>> {
  await using running = await startProgram(python, { target, describe: true });
  const { lines, status } = await endOf(running);
  if (status.code !== 'OK') throw new Error(`reflection ended with ${JSON.stringify(status)}`);
  const services = lines.flatMap(({ message }) => (message === undefined ? [] : message));
  return Object.assign({}, ...services) as Record<string, string[]>;
}

/** The google.rpc.ErrorInfo that an error carries. */
export function errorInfoOf({ details = [] }: CallStatus): JsonObject | undefined {
  return details.find((detail) => detail['@type'] === 'type.googleapis.com/google.rpc.ErrorInfo');
}

async function startProgram(
  { name, command, args }: ClientProgram,
  given: Call | { target: string; describe: true },
): Promise<RunningProcess> {
  return startProcess({ name, command, args: [...args, JSON.stringify(given)] });
}

function linesOf({ stdout }: RunningProcess): Line[] {
  return stdout.map((line) => JSON.parse(line) as Line);
}

async function endOf(running: RunningProcess): Promise<{ lines: Line[]; status: CallStatus }> {
  const timer = setTimeout(() => running.kill('SIGKILL'), callTimeoutMs);
  const { code } = await running.exited;
  clearTimeout(timer);
  const lines = linesOf(running);
  const status = lines.at(-1)?.status;
  if (code !== 0 || status === undefined) {
    throw new Error(`${running.name} failed (${code ?? 'killed'}):\n${running.stderr.join('\n')}`);
  }
  return { lines, status };
}
