import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import type { CallOptions, Client, Transport } from '@connectrpc/connect';
import type { AgentEvent } from '@agentx/gen/agentx/common/v1/event_pb.ts';
import { EngineService } from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import type {
  ReceiveRequestSchema,
  SubscribeRequestSchema,
} from '@agentx/gen/agentx/engine/v1/engine_service_pb.ts';
import { createDirectTransport, createLogger, createServiceChain, DomainError } from '@agentx/service-kit';
import { openSessionStore } from '@agentx/session-store';
import { openStateStore } from '@agentx/state-store';
import { openStatsStore } from '@agentx/stats-store';
import { temporaryFolder } from '@agentx/testing';
import { createScriptedDriver } from './driver/scripted.fixtures.ts';
import type { ScriptedDriver } from './driver/scripted.fixtures.ts';
import { createEngine } from './engine.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { priceUsage } from './pricing/pricing.ts';
import { createEngineService } from './service.ts';
import { clientsOf } from './stores.ts';
import type { Stores } from './stores.ts';
import { createToolbox } from './tools/toolbox.ts';
import type { ToolContext, ToolResult } from './tools/tool.ts';
import type { TurnParts } from './turn/context.ts';
import { watchWork } from './worker.ts';

const log = createLogger({ name: 'test', level: 'silent' });

/** A way to a store that can be broken. */
export interface Line {
  readonly transport: Transport;
  /** Calls made from now on wait until the line is whole again. */
  cut(): void;
  heal(): void;
  /** Every call, those that wait too, is refused as one of an engine that lost its turns. */
  fence(): void;
  /** Cuts the line just before this call is sent; fulfils when that has happened. */
  cutBefore(matches: (method: string, request: unknown) => boolean): Promise<void>;
  /** The next calls of this method fail as if the store could not be reached. */
  failNext(method: string, times: number): void;
  /** The next call of this method does its work, and its answer is lost. */
  loseNextAnswer(method: string): void;
}

function createLine(inner: Transport): Line {
  let whole = Promise.withResolvers<undefined>();
  whole.resolve(undefined);
  const failing = new Map<string, number>();
  const losing = new Set<string>();
  let beforeCut: ((method: string, request: unknown) => boolean) | undefined;
  const cutReached = Promise.withResolvers<undefined>();
  const unreachable = () => new ConnectError('no connection', Code.Unavailable);
  return {
    transport: {
      unary: async (method, ...rest) => {
        if (beforeCut?.(method.localName, rest[3]) === true) {
          whole = Promise.withResolvers();
          beforeCut = undefined;
          cutReached.resolve(undefined);
        }
        await whole.promise;
        const failures = failing.get(method.localName) ?? 0;
        failing.set(method.localName, failures - 1);
        if (failures > 0) throw unreachable();
        const response = await inner.unary(method, ...rest);
        if (losing.delete(method.localName)) throw unreachable();
        return response;
      },
      stream: async (method, ...rest) => {
        await whole.promise;
        return inner.stream(method, ...rest);
      },
    },
    cut: () => {
      whole = Promise.withResolvers<undefined>();
    },
    heal: () => {
      whole.resolve(undefined);
    },
    fence: () => {
      whole.promise.catch(() => undefined);
      whole.reject(new DomainError(Code.Aborted, 'FENCED', 'another engine has taken the turn over'));
    },
    cutBefore: async (matches) => {
      beforeCut = matches;
      await cutReached.promise;
    },
    failNext: (method, times) => {
      failing.set(method, times);
    },
    loseNextAnswer: (method) => {
      losing.add(method);
    },
  };
}

/** The three stores over one folder. */
export interface TestStores extends AsyncDisposable {
  /** Clients of an engine; each engine has lines of its own. */
  connect(): { stores: Stores; session: Line; stats: Line; state: Line };
  close(): Promise<void>;
}

export async function openTestStores(folder: string): Promise<TestStores> {
  const databaseUrl = `sqlite:${folder}`;
  const opened = await Promise.all([
    openSessionStore({ databaseUrl, log, ownsAllEngines: true }),
    openStatsStore({ databaseUrl, log }),
    openStateStore({ databaseUrl, log }),
  ]);
  const definitions = opened.map(({ definition }) => definition);
  const direct = createDirectTransport(definitions, createServiceChain({ log }));
  const close = async () => {
    await Promise.all(opened.map((store) => store.close()));
  };
  return {
    connect: () => {
      const session = createLine(direct);
      const stats = createLine(direct);
      const state = createLine(direct);
      const stores = clientsOf({
        session: session.transport,
        stats: stats.transport,
        state: state.transport,
      });
      return { stores, session, stats, state };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Runs one call of a tool; the input is as the model wrote it. */
export type ToolScript = (
  input: Record<string, unknown>,
  context: ToolContext,
) => Promise<Partial<ToolResult> & { readonly content: string }>;

export interface TestEngineOptions {
  readonly tools?: Readonly<Record<string, ToolScript>>;
  readonly engine?: Partial<EngineOptions>;
  readonly parts?: Partial<TurnParts>;
}

/** An engine with a client of its own, and a model and tools that do as they are told. */
export interface TestEngine {
  readonly engine: Engine;
  readonly client: Client<typeof EngineService>;
  readonly driver: ScriptedDriver;
  readonly stores: Stores;
  readonly lines: { readonly session: Line; readonly stats: Line; readonly state: Line };
  /** All events of a request, to the end of its stream. */
  receive(
    request: MessageInitShape<typeof ReceiveRequestSchema>,
    options?: CallOptions,
  ): Promise<AgentEvent[]>;
  subscribe(
    request: MessageInitShape<typeof SubscribeRequestSchema>,
    options?: CallOptions,
  ): Promise<AgentEvent[]>;
  /** Stops looking for work, and waits for the turns that run. */
  stop(): Promise<void>;
}

export function startTestEngine(testStores: TestStores, options: TestEngineOptions = {}): TestEngine {
  const { stores, ...lines } = testStores.connect();
  const driver = createScriptedDriver();
  const engine = createEngine({
    engineId: 'engine-1',
    leaseTtlMs: 15_000,
    defaultModel: 'claude-sonnet-4-5',
    autoCreateAgents: true,
    notice: '',
    heartbeatMs: 15_000,
    log,
    parts: {
      stores,
      driver,
      toolbox: createToolbox(Object.entries(options.tools ?? {}).map(([name, run]) => createTool(name, run))),
      priceUsage,
      systemPrompt: 'Be brief.',
      openProject: () => Promise.resolve('/project'),
      ...options.parts,
    },
    ...options.engine,
  });
  const watching = new AbortController();
  const watched = watchWork(engine, watching.signal);
  const client = createClient(
    EngineService,
    createDirectTransport([createEngineService(engine)], createServiceChain({ log })),
  );
  return {
    engine,
    client,
    driver,
    stores,
    lines,
    receive: (request, callOptions) => collect(client.receive(request, callOptions)),
    subscribe: (request, callOptions) => collect(client.subscribe(request, callOptions)),
    stop: async () => {
      watching.abort();
      await Promise.all([watched, engine.running.allDone()]);
    },
  };
}

function createTool(name: string, run: ToolScript) {
  const definition = {
    kind: 'described',
    name,
    description: name,
    inputSchema: { type: 'object' as const },
  } as const;
  return {
    definition,
    run: async (input: unknown, context: ToolContext): Promise<ToolResult> => ({
      isError: false,
      outcome: 'OK',
      workingDirectory: context.workingDirectory,
      ...(await run(input as Record<string, unknown>, context)),
    }),
  };
}

async function collect(stream: AsyncIterable<{ event?: AgentEvent | undefined }>): Promise<AgentEvent[]> {
  const events: AgentEvent[] = [];
  for await (const { event } of stream) if (event !== undefined) events.push(event);
  return events;
}

/** Stores and one engine, in a folder of their own. */
export interface Rig extends TestEngine, AsyncDisposable {
  readonly testStores: TestStores;
  readonly folder: string;
}

export async function startRig(options: TestEngineOptions = {}): Promise<Rig> {
  const folder = await temporaryFolder('agentx-engine-');
  const testStores = await openTestStores(folder.path);
  const started = startTestEngine(testStores, options);
  return {
    ...started,
    testStores,
    folder: folder.path,
    [Symbol.asyncDispose]: async () => {
      await started.stop();
      await testStores.close();
      await folder.remove();
    },
  };
}
