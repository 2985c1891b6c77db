/** What a run consists of. Every turn is a new conversation of one question and one answer of `deltas` pieces. */
export interface Parameters {
  /** How often both sides are measured, one after the other: bare, AgentX, bare, AgentX … */
  readonly rounds: number;
  readonly deltas: number;
  readonly deltaText: string;
  /** Turns at the same time, each by a client with a connection of its own. */
  readonly clients: number;
  /** Turns before anything is measured, in each process. */
  readonly warmUpTurns: number;
  /** Turns one after the other by one client, for the time to the first token. */
  readonly singleTurns: number;
  /** Turns by all clients whose model answers at once. */
  readonly burstTurns: number;
  /** Turns by all clients whose model answers at a pace. */
  readonly pacedTurns: number;
  readonly perDeltaMs: number;
}

export const FULL: Parameters = {
  rounds: 3,
  deltas: 200,
  deltaText: 'sixteen letters ',
  clients: 32,
  warmUpTurns: 160,
  singleTurns: 200,
  burstTurns: 320,
  pacedTurns: 64,
  perDeltaMs: 10,
};

export const QUICK: Parameters = {
  ...FULL,
  rounds: 1,
  warmUpTurns: 64,
  singleTurns: 50,
  burstTurns: 96,
  pacedTurns: 32,
};

/** Which model is asked for: both sides the same, and one that the SDK does not warn about. */
export const MODEL = 'claude-sonnet-5-5';

/** The model answers a question that begins with it at a pace, all others at once. */
export const PACED = 'paced';
