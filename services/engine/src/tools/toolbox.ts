import { InvalidToolInputError } from './tool.ts';
import type { Tool, Toolbox, ToolResult } from './tool.ts';

/** Puts tools together under their names. Throws if two have the same name. */
export function createToolbox(tools: readonly Tool[]): Toolbox {
  const byName = new Map(tools.map((tool) => [tool.definition.name, tool]));
  if (byName.size !== tools.length) {
    throw new Error(`Tool names must be unique: ${tools.map((tool) => tool.definition.name).join(', ')}`);
  }

  return {
    definitions: tools.map((tool) => tool.definition),

    async run(call, context) {
      const refuse = (content: string): ToolResult => ({
        content,
        isError: true,
        outcome: 'ERROR',
        workingDirectory: context.workingDirectory,
      });

      const tool = byName.get(call.name);
      if (tool === undefined) {
        const names = [...byName.keys()].join(', ');
        return refuse(
          `There is no tool "${call.name}". ${names ? `Use one of: ${names}.` : 'This agent has no tools.'}`,
        );
      }
      try {
        return await tool.run(parseInput(call.inputJson), context);
      } catch (error) {
        if (error instanceof InvalidToolInputError)
          return refuse(`Invalid arguments for "${call.name}": ${error.message}`);
        throw error;
      }
    },
  };
}

function parseInput(inputJson: string): unknown {
  if (inputJson.trim() === '') return {};
  try {
    return JSON.parse(inputJson);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new InvalidToolInputError(`they are not valid JSON (${detail}). Send one complete JSON object.`);
  }
}
