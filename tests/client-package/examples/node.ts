import { createAgentxClient, errorInfoOf, receive, StopReason } from '@agentx/client';
import type { AgentEvent } from '@agentx/client';

/** Sends a message and prints a line of JSON for each event; a refusal is a line too. */
export async function run(url: string, agentId: string, text: string): Promise<void> {
  using agentx = createAgentxClient({ url });
  try {
    for await (const event of receive(agentx.engine, { agentId, input: { case: 'text', value: text } })) {
      console.log(JSON.stringify(describe(event)));
    }
  } catch (error) {
    const info = errorInfoOf(error);
    console.log(JSON.stringify({ refused: info?.reason ?? String(error), metadata: info?.metadata }));
  }
}

function describe({ cursor, turnId, payload }: AgentEvent) {
  const line = { kind: payload.case, cursor, turnId };
  switch (payload.case) {
    case 'textDelta':
      return { ...line, text: payload.value.text };
    case 'turnEnded':
      return { ...line, failed: payload.value.stopReason === StopReason.ERROR, reason: payload.value.reason };
    default:
      return line;
  }
}
