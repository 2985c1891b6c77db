import { PACED } from '../parameters.ts';
import type { Load, LoadAnswer, LoadResult } from './load.ts';

/** One turn as it was done. */
export interface DoneTurn {
  /** When its first piece of text came, by performance.now(). */
  readonly firstTextMs: number;
  /** Throws when the turn is not what it should be. Called after the load, so that it is not measured. */
  check(): void;
}

/** One user, with a connection of their own. */
export interface BenchClient {
  /** @param name unique among the turns of the measured process */
  turn(name: string, question: string): Promise<DoneTurn>;
  /** Ends the connection. */
  close(): Promise<{ bytesReceived: number }>;
}

/** Does the loads that the parent process asks for, one after the other, and ends with it. */
export function answerLoads(connect: (load: Load) => Promise<BenchClient>): void {
  process.on('message', (load: Load) => {
    void runLoad(load, connect)
      .then(
        (result): LoadAnswer => ({ result }),
        (error: unknown): LoadAnswer => ({
          failure: error instanceof Error ? error.message : String(error),
        }),
      )
      .then((answer) => process.send?.(answer));
  });
  process.on('disconnect', () => process.exit());
}

async function runLoad(load: Load, connect: (load: Load) => Promise<BenchClient>): Promise<LoadResult> {
  const clients = await Promise.all(Array.from({ length: load.clients }, () => connect(load)));
  const done: { turn: DoneTurn; startMs: number }[] = [];
  const failures: string[] = [];
  let begun = 0;
  const work = async (client: BenchClient) => {
    while (begun < load.turns && failures.length === 0) {
      const name = `${load.name}-${begun++}`;
      const startMs = performance.now();
      try {
        done.push({ turn: await client.turn(name, `${load.paced ? PACED : 'burst'} ${name}`), startMs });
      } catch (error) {
        failures.push(`${name}: ${describe(error)}`);
      }
    }
  };
  const startMs = performance.now();
  await Promise.all(clients.map(work));
  const wallMs = performance.now() - startMs;
  const closed = await Promise.all(clients.map((client) => client.close()));

  for (const { turn } of done) {
    try {
      turn.check();
    } catch (error) {
      failures.push(describe(error));
    }
  }
  if (failures.length > 0)
    throw new Error(`${failures.length} of ${load.turns} turns failed: ${failures.slice(0, 3).join('; ')}`);
  return {
    wallMs,
    ttftMs: done.map(({ turn, startMs: from }) => turn.firstTextMs - from),
    firstTextAtMs: performance.timeOrigin + Math.min(...done.map(({ turn }) => turn.firstTextMs)),
    bytesReceived: closed.reduce((sum, { bytesReceived }) => sum + bytesReceived, 0),
  };
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
