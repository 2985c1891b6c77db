/** The bare side: the same turns with Anthropic's SDK alone, which serves nobody and stores nothing. */
import { Anthropic } from '@anthropic-ai/sdk';
import { MODEL } from './parameters.ts';
import type { Load } from './processes/load.ts';
import { answerLoads } from './processes/run-load.ts';
import type { BenchClient, DoneTurn } from './processes/run-load.ts';

/** As many users as it may be, they share one SDK client, as they would within one server. */
let shared: { target: string; sdk: Anthropic } | undefined;

answerLoads((load) => {
  if (shared?.target !== load.target)
    shared = { target: load.target, sdk: new Anthropic({ apiKey: 'bench', baseURL: load.target }) };
  const { sdk } = shared;
  const client: BenchClient = {
    turn: (name, question) => runTurn(sdk, load, name, question),
    close: () => Promise.resolve({ bytesReceived: 0 }),
  };
  return Promise.resolve(client);
});

async function runTurn(sdk: Anthropic, load: Load, name: string, question: string): Promise<DoneTurn> {
  let firstTextMs = 0;
  let deltas = 0;
  let text = '';
  let stopReason: string | null = null;
  const stream = await sdk.messages.create({
    model: MODEL,
    max_tokens: 8192,
    stream: true,
    messages: [{ role: 'user', content: question }],
  });
  for await (const event of stream) {
    if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') {
      if (deltas === 0) firstTextMs = performance.now();
      deltas += 1;
      text += event.delta.text;
    } else if (event.type === 'message_delta') {
      stopReason = event.delta.stop_reason;
    }
  }
  return {
    firstTextMs,
    check: () => {
      if (deltas !== load.deltas || text !== load.deltaText.repeat(load.deltas) || stopReason !== 'end_turn')
        throw new Error(
          `${name}: ${deltas} deltas, ${text.length} characters, stop reason ${stopReason ?? 'none'}`,
        );
    },
  };
}
