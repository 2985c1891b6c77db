import { ToolOutcome } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { Message, ToolUsePart } from '@agentx/gen/agentx/common/v1/message_pb.ts';
import type { ToolResult } from '../tools/tool.ts';
import { commit } from './commit.ts';
import type { TurnContext } from './context.ts';
import { toolResultBody } from './messages.ts';
import type { Payload, StepPlace } from './payload.ts';

const OUTCOMES: Record<ToolResult['outcome'], ToolOutcome> = {
  OK: ToolOutcome.OK,
  ERROR: ToolOutcome.ERROR,
  DENIED: ToolOutcome.DENIED,
  UNKNOWN: ToolOutcome.UNKNOWN,
  INTERRUPTED: ToolOutcome.INTERRUPTED,
};

/** Runs one tool call: commit point C4, the tool, commit point C5. Returns its result as committed. */
export async function runTool(
  context: TurnContext,
  place: StepPlace,
  call: ToolUsePart,
  parentId: string,
): Promise<Message> {
  const { tally } = context;
  const { toolCallId, name } = call;
  await commit(context, place, [{ case: 'toolExecuting', value: { toolCallId, name } }], {
    case: 'toolStarted',
    value: { toolCallId, run: 1 },
  });
  tally.openCalls.set(toolCallId, { toolCallId, name, parentId, started: true });

  const startMs = performance.now();
  const result = await execute(context, place, call);
  const durationMs = BigInt(Math.round(performance.now() - startMs));
  const outcome = OUTCOMES[result.outcome];
  const { content, isError, workingDirectory } = result;
  const message = context.messages.make(
    toolResultBody({ toolCallId, name, content, isError, outcome }),
    parentId,
  );
  await commit(
    context,
    place,
    [endOfTool(toolCallId, name, outcome, durationMs), { case: 'message', value: message }],
    { case: 'toolFinished', value: { toolCallId, run: 1, message, workingDirectory } },
  );
  tally.workingDirectory = workingDirectory;
  tally.toolCalls += 1;
  tally.openCalls.delete(toolCallId);
  return message;
}

async function execute(context: TurnContext, place: StepPlace, call: ToolUsePart): Promise<ToolResult> {
  const { parts, tenantId, agentId, tally, signal, keeper, turnLog, log } = context;
  const { toolCallId, name, inputJson } = call;
  const failed = (outcome: ToolResult['outcome'], content: string): ToolResult => ({
    content,
    isError: true,
    outcome,
    workingDirectory: tally.workingDirectory,
  });
  let projectPath: string;
  try {
    projectPath = await parts.openProject(tenantId, agentId);
  } catch (error) {
    log.error({ err: error, toolCallId, tool: name }, 'the project folder cannot be opened');
    return failed('ERROR', 'The tool did not run: the project folder cannot be opened.');
  }
  try {
    return await parts.toolbox.run(
      { toolCallId, name, inputJson },
      {
        tenantId,
        agentId,
        projectPath,
        workingDirectory: tally.workingDirectory,
        signal,
        heartbeat: keeper,
        onOutput: (text) => {
          turnLog.append({ case: 'toolOutputDelta', value: { toolCallId, text } }, place);
        },
      },
    );
  } catch (error) {
    // A tool's own failures are results; what is thrown is a fault of the engine, and the tool may have acted before it.
    log.error({ err: error, toolCallId, tool: name }, 'a tool failed unexpectedly');
    return failed(
      'UNKNOWN',
      'The tool failed inside the engine; it may have taken effect. Look before you run it again.',
    );
  }
}

const endOfTool = (toolCallId: string, name: string, outcome: ToolOutcome, durationMs: bigint): Payload =>
  outcome === ToolOutcome.OK
    ? { case: 'toolCompleted', value: { toolCallId, name, durationMs } }
    : { case: 'toolFailed', value: { toolCallId, name, outcome, durationMs } };
