import { beforeEach, describe, expect, test } from '@jest/globals';
import type { LogLevel } from './create-logger.ts';
import { createLogger } from './create-logger.ts';
import { readableLine } from './readable-line.ts';
import { redactText, registerSecret } from './redact.ts';

let lines: string[] = [];
beforeEach(() => {
  lines = [];
});

const logger = (level: LogLevel = 'info') =>
  createLogger({ name: 'engine', level, destination: { write: (line) => void lines.push(line) } });

const last = () => JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;

test('lines are JSON with level, time, name and what was given', () => {
  const log = logger();
  log.child({ agentId: 'a1' }).info({ turnId: 't1' }, 'turn ended');
  log.debug('not written');
  expect(lines).toHaveLength(1);
  expect(last()).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    name: 'engine',
    agentId: 'a1',
    turnId: 't1',
    msg: 'turn ended',
  });
});

test('errors keep their type, code and chain of causes', () => {
  const inner = Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED', query: 'select 1' });
  logger().error({ err: new Error('cannot read', { cause: inner }) }, 'failed');
  expect(last()).toMatchObject({
    msg: 'failed',
    err: {
      type: 'Error',
      message: 'cannot read',
      stack: expect.stringContaining('create-logger.test.ts'),
      cause: { message: 'connection refused', code: 'ECONNREFUSED' },
    },
  });
  expect(lines[0]).not.toContain('select 1');
});

test('errors that gather others, and what is no error', () => {
  logger().error({ err: new AggregateError([new Error('one'), 'two'], 'several') });
  expect(last()).toMatchObject({ err: { errors: [{ message: 'one' }, { message: 'two' }] } });
  logger().error({ err: { odd: true } });
  expect(last()).toMatchObject({ err: { type: 'object', message: '{ odd: true }' } });
});

describe('redaction', () => {
  const canary = 'canary"with\\odd\ncharacters';
  registerSecret(canary);

  test('a registered secret shows nowhere: message, field, nested, child, error, URL', () => {
    const log = logger().child({ inChild: canary });
    log.info({ deep: { list: [`a ${canary} b`] }, err: new Error(canary) }, `text ${canary}`);
    log.info({ text: `no connection to postgres://agentx:canary%21@db:5432/agentx` });
    expect(lines.join('')).not.toContain('canary');
    expect(last()).toMatchObject({ text: expect.stringContaining('[redacted]') });
  });

  test.each([
    ['authorization', 'Bearer abc'],
    ['Proxy-Authorization', ['abc']],
    ['x-api-key', 'abc'],
    ['apiKey', 'abc'],
    ['password', { hidden: 'abc' }],
    ['accessToken', 'abc'],
    ['token', 'abc'],
    ['AWS_SECRET_KEY', 'abc'],
    ['set-cookie', 'abc'],
  ])('the value of %s is left out', (key, value) => {
    logger()
      .child({ headers: { [key]: value } })
      .info({ [key]: value, b: 'kept', n: { [key]: value } });
    expect(lines[0]).not.toContain('abc');
    expect(last()).toMatchObject({ [key]: '[redacted]', b: 'kept', headers: { [key]: '[redacted]' } });
  });

  test('counts of tokens and names of keys stay', () => {
    logger().info({ outputTokens: 12, token: 5, monkey: 'see', maxTokens: '9' });
    expect(last()).toMatchObject({ outputTokens: 12, token: 5, monkey: 'see', maxTokens: '9' });
  });

  test.each([
    ['postgres://u:abcdefgh@h/d', 'postgres://u:[redacted]@h/d'],
    ['sent Authorization: Bearer abcdefgh.ijkl to it', 'sent Authorization: Bearer [redacted] to it'],
    ['key sk-ant-api03-abcdefgh.', 'key [redacted].'],
    ['GET /?api_key=abcdefgh&x=1', 'GET /?api_key=[redacted]&x=1'],
    ['http://127.0.0.1:8080/a@b', 'http://127.0.0.1:8080/a@b'],
  ])('%s', (text, shown) => {
    expect(redactText(text)).toBe(shown);
    logger().info(text);
    expect(last().msg).toBe(shown);
  });

  test('a secret too short to be told from ordinary text is refused', () => {
    expect(() => registerSecret('abc')).toThrow('at least 8 characters');
  });
});

test('on a terminal a line is readable, with the chain of causes below', () => {
  logger().warn({ agentId: 'a1', err: new Error('outer', { cause: new Error('inner') }) }, 'slow');
  const shown = readableLine(lines[0] ?? '');
  expect(shown).toMatch(/^\d\d:\d\d:\d\d\.\d{3} \S*warn \S* slow agentId=a1\nError: outer\n/);
  expect(shown).toContain('caused by Error: inner');
});
