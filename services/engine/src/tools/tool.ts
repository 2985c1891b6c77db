/** A tool whose schema Claude knows by its type; it carries no description. */
export interface AnthropicToolDefinition {
  kind: 'anthropic';
  /** Input: `{command?: string, restart?: boolean}`. */
  type: 'bash_20250124';
  name: 'bash';
}

/** A tool described to the model in full. */
export interface DescribedToolDefinition {
  kind: 'described';
  name: string;
  description: string;
  /** JSON Schema of the input; its top level is an object. */
  inputSchema: { type: 'object'; properties?: Record<string, unknown>; required?: string[] };
}

/** What the model is told about a tool. */
export type ToolDefinition = AnthropicToolDefinition | DescribedToolDefinition;

/** A call as the model wrote it. */
export interface ToolCall {
  toolCallId: string;
  name: string;
  /** Raw JSON text from the model; empty means no arguments. */
  inputJson: string;
}

/** Proof, while a tool runs, that this engine still owns the turn. */
export interface Heartbeat {
  /** A tool that gets no beat for this long is killed from within its own sandbox. In ms, counted in whole seconds. */
  readonly maxSilenceMs: number;
  /** Calls the listener after each successful write or lease renewal; returns how to stop listening. */
  onBeat(listener: () => void): () => void;
}

/** Where and for whom a tool runs. */
export interface ToolContext {
  tenantId: string;
  agentId: string;
  /** Real path of the agent's project folder on this engine. */
  projectPath: string;
  /** Relative to the project folder, `''` is its top. */
  workingDirectory: string;
  /** Aborting kills the tool at once. */
  signal: AbortSignal;
  /** Without it only the time limit, the end of the engine and the signal stop a tool. */
  heartbeat?: Heartbeat;
  /** Live output, decoded, in order. Must not throw. */
  onOutput(chunk: string): void;
}

/**
 * - `OK`: it ran and succeeded.
 * - `ERROR`: it did not run (bad input, no sandbox), failed, or was killed at a limit.
 * - `DENIED`: a person or a policy refused it.
 * - `UNKNOWN`: it may still be running or may have taken effect.
 * - `INTERRUPTED`: it was stopped, and its death is certain.
 */
export type ToolOutcome = 'OK' | 'ERROR' | 'DENIED' | 'UNKNOWN' | 'INTERRUPTED';

export interface ToolResult {
  /** What the model reads. */
  content: string;
  isError: boolean;
  outcome: ToolOutcome;
  /** Where the agent's next call starts; relative to the project folder, `''` is its top. */
  workingDirectory: string;
}

export interface Tool {
  readonly definition: ToolDefinition;
  /**
   * Runs one call. Throws {@link InvalidToolInputError} before anything has happened if the input does not fit; every
   * other failure of the tool's work is a result.
   */
  run(input: unknown, context: ToolContext): Promise<ToolResult>;
}

/** The tools of an agent. */
export interface Toolbox {
  readonly definitions: readonly ToolDefinition[];
  /** Runs one call. What the model got wrong (an unknown tool, bad arguments) is an `ERROR` result, never thrown. */
  run(call: ToolCall, context: ToolContext): Promise<ToolResult>;
}

/** The model's arguments do not fit the tool. The message says what is wrong and how to mend it; the model reads it. */
export class InvalidToolInputError extends Error {
  override readonly name = 'InvalidToolInputError';
}
