import { afterAll, describe, expect, test } from '@jest/globals';

import { createContext, removeFolders } from './sandbox-harness.ts';
import { InvalidToolInputError } from './tool.ts';
import type { Tool } from './tool.ts';
import { createToolbox } from './toolbox.ts';

afterAll(removeFolders);

const echo: Tool = {
  definition: {
    kind: 'described',
    name: 'echo',
    description: 'Says it again.',
    inputSchema: { type: 'object' },
  },
  async run(input, { workingDirectory }) {
    if (JSON.stringify(input).includes('wrong'))
      throw new InvalidToolInputError('"wrong" is not allowed. Leave it out.');
    if (JSON.stringify(input).includes('bug')) throw new TypeError('a bug');
    return { content: JSON.stringify(input), isError: false, outcome: 'OK', workingDirectory };
  },
};

const call = (inputJson: string, name = 'echo') =>
  createToolbox([echo]).run(
    { toolCallId: 't1', name, inputJson },
    createContext({ workingDirectory: 'sub' }),
  );

describe('a call', () => {
  test('reaches its tool with the parsed input', async () => {
    expect(await call('{"a":[1]}')).toMatchObject({ content: '{"a":[1]}', outcome: 'OK' });
  });

  test('without arguments is one with an empty object', async () => {
    expect(await call('')).toMatchObject({ content: '{}', outcome: 'OK' });
  });

  test.each([
    ['of an unknown tool', '{}', 'rm', 'There is no tool "rm". Use one of: echo.'],
    [
      'with broken JSON',
      '{"a":',
      'echo',
      /^Invalid arguments for "echo": they are not valid JSON \(.+\)\. Send one/,
    ],
    [
      'that the tool refuses',
      '"wrong"',
      'echo',
      'Invalid arguments for "echo": "wrong" is not allowed. Leave it out.',
    ],
  ])('%s is an error the model can read', async (_, inputJson, name, reason) => {
    const result = await call(inputJson, name);
    expect(result).toMatchObject({ isError: true, outcome: 'ERROR', workingDirectory: 'sub' });
    expect(result.content).toMatch(reason);
  });

  test('of a tool with a bug does not look like bad input', async () => {
    await expect(call('"bug"')).rejects.toThrow('a bug');
  });
});

test('two tools of one name are refused', () => {
  expect(() => createToolbox([echo, echo])).toThrow('unique');
});
