import { activeTracing } from '@agentx/service-kit';
import { genAi, operation } from './gen-ai.ts';
import type { EngineMetrics } from './metrics.ts';
import type { ToolCall, ToolContext, Toolbox, ToolResult } from './tools/tool.ts';

/** A tool that the model made up. */
const UNKNOWN_TOOL = 'unknown';
/** How a run ended that was the engine's fault. */
const FAULT = 'FAULT';

/** The same tools, with each run measured and traced: how it went, never what went in or came out. */
export function observeToolbox(toolbox: Toolbox, metrics: Pick<EngineMetrics, 'toolRan'>): Toolbox {
  const names = new Set(toolbox.definitions.map(({ name }) => name));

  async function run(call: ToolCall, context: ToolContext): Promise<ToolResult> {
    const name = names.has(call.name) ? call.name : UNKNOWN_TOOL;
    const startMs = performance.now();
    const span = activeTracing()?.startSpan(`${operation.toolRun} ${name}`, {
      attributes: {
        [genAi.operation]: operation.toolRun,
        [genAi.toolName]: name,
        [genAi.toolCallId]: call.toolCallId,
        [genAi.toolType]: 'function',
      },
    });
    let outcome: ToolResult['outcome'] | typeof FAULT = FAULT;
    try {
      const work = () => toolbox.run(call, context);
      const result = await (span === undefined ? work() : span.run(work));
      ({ outcome } = result);
      return result;
    } finally {
      metrics.toolRan(name, outcome.toLowerCase(), performance.now() - startMs);
      span?.set({ 'agentx.tool.outcome': outcome });
      span?.end(outcome === 'OK' ? undefined : outcome);
    }
  }

  return { definitions: toolbox.definitions, run };
}
