import { text, thinking, toolUse } from '@agentx/testing';

/** A conversation in which the model writes a program that fails, mends it, and answers. */
export const AGENT = 'calculator';
export const MODEL = 'claude-sonnet-4-5';
export const SAID = 'Write a program that adds 1, 2 and 3, and run it.';
export const THOUGHT_PIECES = ['A shell script will do: ', 'nothing else is sure to be there.'];
export const THOUGHT = THOUGHT_PIECES.join('');
export const SIGNATURE = 'signature-of-the-thought';
export const ANSWER_PIECES = ['The program was wrong: it subtracted. ', 'It is mended, ', 'and says: 6.'];
export const ANSWER = ANSWER_PIECES.join('');

export const WRONG_PROGRAM = `sum=0
for n in 1 2 3; do sum=$((sum - n)); done
echo "the sum is $sum"
[ "$sum" -eq 6 ] || exit 3
`;

/** The calls of the scripted model, in order; the second working directory comes from the first call. */
export const write = call('toolu_write', `mkdir src && cd src && printf '%s' '${WRONG_PROGRAM}' > sum.sh`);
export const failing = call('toolu_failing', 'sh sum.sh');
export const mend = call('toolu_mend', "sed -i 's/sum - n/sum + n/' sum.sh");
export const working = call('toolu_working', 'pwd; sh sum.sh');

export type ScriptedCall = ReturnType<typeof call>;

function call(id: string, command: string) {
  const json = JSON.stringify({ command });
  return { id, command, json, block: toolUse('bash', { command }, { id, chunks: [json] }) };
}

/** By Anthropic's list for this model: 3 input, 15 output, 0.3 cache read, 3.75 and 6 cache writes, in micro-USD a token. */
export const CALLS = [
  {
    content: [
      thinking(THOUGHT, SIGNATURE, { chunks: THOUGHT_PIECES }),
      text('I write it.', { chunks: ['I write', ' it.'] }),
      write.block,
    ],
    usage: { input_tokens: 100, output_tokens: 50, cache_creation: { ephemeral_5m_input_tokens: 1000 } },
    costMicroUsd: 300 + 750 + 3750,
  },
  {
    content: [failing.block],
    usage: {
      input_tokens: 20,
      output_tokens: 40,
      cache_read_input_tokens: 1000,
      cache_creation: { ephemeral_5m_input_tokens: 200 },
    },
    costMicroUsd: 60 + 600 + 300 + 750,
  },
  {
    content: [mend.block, working.block],
    usage: { input_tokens: 10, output_tokens: 60, cache_read_input_tokens: 1200 },
    costMicroUsd: 30 + 900 + 360,
  },
  {
    content: [text(ANSWER, { chunks: ANSWER_PIECES })],
    usage: {
      input_tokens: 5,
      output_tokens: 20,
      cache_read_input_tokens: 1300,
      cache_creation: { ephemeral_1h_input_tokens: 10 },
    },
    costMicroUsd: 15 + 300 + 390 + 60,
  },
];
export const TURN_COST = 4800 + 1710 + 1290 + 765;
export const TURN_USAGE = {
  inputTokens: '135',
  outputTokens: '170',
  cacheReadTokens: '3500',
  cacheWrite5mTokens: '1200',
  cacheWrite1hTokens: '10',
};

export const CACHED = { cache_control: { type: 'ephemeral' } };

/** What the model reports while it answers: the whole usage at its end, before it one token of output. */
export function usages(index: number) {
  const { usage } = CALLS[index]!;
  const input = {
    inputTokens: String(usage.input_tokens),
    ...(usage.cache_read_input_tokens && { cacheReadTokens: String(usage.cache_read_input_tokens) }),
    ...(usage.cache_creation?.ephemeral_5m_input_tokens && {
      cacheWrite5mTokens: String(usage.cache_creation.ephemeral_5m_input_tokens),
    }),
    ...(usage.cache_creation?.ephemeral_1h_input_tokens && {
      cacheWrite1hTokens: String(usage.cache_creation.ephemeral_1h_input_tokens),
    }),
  };
  return {
    first: { ...input, outputTokens: '1' },
    whole: { ...input, outputTokens: String(usage.output_tokens) },
  };
}

/** The history as the model must see it, without cache points. */
const toolResult = ({ id }: ScriptedCall, content: string, isError = false) => ({
  type: 'tool_result',
  tool_use_id: id,
  content,
  ...(isError && { is_error: true }),
});
const toolCall = ({ id, command }: ScriptedCall) => ({
  type: 'tool_use',
  id,
  name: 'bash',
  input: { command },
});
export const FIRST_TURN = [
  { role: 'user', content: [{ type: 'text', text: SAID }] },
  {
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: THOUGHT, signature: SIGNATURE },
      { type: 'text', text: 'I write it.' },
      toolCall(write),
    ],
  },
  { role: 'user', content: [toolResult(write, '(no output)')] },
  { role: 'assistant', content: [toolCall(failing)] },
  { role: 'user', content: [toolResult(failing, 'the sum is -6\nexit code 3', true)] },
  { role: 'assistant', content: [toolCall(mend), toolCall(working)] },
  {
    role: 'user',
    content: [toolResult(mend, '(no output)'), toolResult(working, '/project/src\nthe sum is 6\n')],
  },
  { role: 'assistant', content: [{ type: 'text', text: ANSWER }] },
];

/** The cache points that a request carries: the last block of the user's last two messages. */
export function withCachePoints(messages: { role: string; content: object[] }[]) {
  const last = messages.flatMap(({ role }, index) => (role === 'user' ? [index] : [])).slice(-2);
  return messages.map(({ role, content }, index) => ({
    role,
    content: content.map((block, at) =>
      last.includes(index) && at === content.length - 1 ? { ...block, ...CACHED } : block,
    ),
  }));
}
