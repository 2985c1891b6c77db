/** Turns to be done by a process of the bench. */
export interface Load {
  /** URL of the model for the bare SDK, of the API for a client of AgentX. */
  readonly target: string;
  /** Begins the names of the turns and their agents; another one for each load of a process. */
  readonly name: string;
  readonly clients: number;
  readonly turns: number;
  readonly paced: boolean;
  readonly deltas: number;
  readonly deltaText: string;
}

/** What a load came to; every turn of it was checked. */
export interface LoadResult {
  /** From the start of the first turn to the end of the last. */
  readonly wallMs: number;
  /** From each turn's request to its first piece of text. */
  readonly ttftMs: readonly number[];
  /** When the first piece of text of all came, in milliseconds since the epoch. */
  readonly firstTextAtMs: number;
  /** Bytes that the clients' connections received. */
  readonly bytesReceived: number;
}

export type LoadAnswer = { readonly result: LoadResult } | { readonly failure: string };
