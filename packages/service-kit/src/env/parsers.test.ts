import { describe, expect, test } from '@jest/globals';
import { chooseProvider } from './choose-provider.ts';
import { chooseStores } from './choose-stores.ts';
import { maskDatabaseUrl, parseDatabaseUrl } from './database-url.ts';
import { nearest } from './edit-distance.ts';
import { formatHostPort, parseHostPort } from './host-port.ts';
import { parseStoreTarget } from './store-target.ts';

describe('parseHostPort', () => {
  test.each([
    ['127.0.0.1:8080', '127.0.0.1', 8080],
    ['localhost:0', 'localhost', 0],
    ['[::1]:65535', '::1', 65_535],
  ])('%s', (text, host, port) => {
    expect(parseHostPort(text)).toEqual({ host, port });
    expect(formatHostPort({ host, port })).toBe(text);
  });

  test.each([
    '8080',
    ':8080',
    'localhost',
    'localhost:',
    'a:65536',
    '::1:80',
    'http://a:80',
    'a:8e1',
    ' a:80',
  ])('%s is refused', (text) => {
    expect(() => parseHostPort(text)).toThrow();
  });
});

describe('parseDatabaseUrl', () => {
  test('SQLite: the folder, absolute', () => {
    expect(parseDatabaseUrl('sqlite:data')).toEqual({ kind: 'sqlite', folder: `${process.cwd()}/data` });
    expect(parseDatabaseUrl('sqlite:/data')).toEqual({ kind: 'sqlite', folder: '/data' });
  });

  test.each(['postgres://u:p@h:5432/d', 'postgresql://h/d?sslmode=require', 'postgres:///d?host=/run/pg'])(
    '%s',
    (url) => {
      expect(parseDatabaseUrl(url)).toEqual({ kind: 'postgres', url });
    },
  );

  test.each(['', 'sqlite:', 'sqlite://data', 'mysql://h/d', 'postgres:h', 'postgres:///d', 'data.db'])(
    '%p is refused',
    (text) => {
      expect(() => parseDatabaseUrl(text)).toThrow();
    },
  );

  test.each([
    ['postgres://u:canary@h/d', 'postgres://u:***@h/d'],
    ['postgres://u:can@ary@h/d', 'postgres://u:***@h/d'],
    ['postgres:/u:canary@h', 'postgres:***@h'],
    ['host=h password=canary user=u', 'host=h password=*** user=u'],
    ['postgres://h/d?password=canary&a=b', 'postgres://h/d?password=***&a=b'],
    ['postgres://h:5432/d', 'postgres://h:5432/d'],
    ['sqlite:data', 'sqlite:data'],
  ])('%s is shown without its password', (text, masked) => {
    expect(maskDatabaseUrl(text)).toBe(masked);
  });
});

describe('parseStoreTarget', () => {
  test.each([
    ['dns:///stats-store:8092', 'dns:///stats-store:8092'],
    ['dns:stats-store:8092', 'dns:stats-store:8092'],
    ['ipv4:127.0.0.1:8091,127.0.0.1:8094', 'ipv4:127.0.0.1:8091,127.0.0.1:8094'],
    ['ipv6:[::1]:8091', 'ipv6:[::1]:8091'],
    ['unix:/run/agentx.sock', 'unix:/run/agentx.sock'],
    ['stats-store:8092', 'dns:///stats-store:8092'],
  ])('%s', (text, target) => {
    expect(parseStoreTarget(text)).toEqual({ kind: 'grpc', target });
  });

  test.each(['', 'Local', 'dns:///stats-store', 'ipv4:127.0.0.1', 'https://stats:8092', 'ipv4:a:1', 'stats'])(
    '%p is refused',
    (text) => {
      expect(() => parseStoreTarget(text)).toThrow();
    },
  );

  test('chooseStores', () => {
    const env = {
      AGENTX_SESSION_STORE_URL: 'local',
      AGENTX_STATS_STORE_URL: 'local',
      AGENTX_STATE_STORE_URL: 'local',
    };
    expect(chooseStores(env)).toEqual({ kind: 'local' });
    expect(
      chooseStores({
        AGENTX_SESSION_STORE_URL: 'a:1',
        AGENTX_STATS_STORE_URL: 'b:2',
        AGENTX_STATE_STORE_URL: 'c:3',
      }),
    ).toEqual({ kind: 'grpc', session: 'dns:///a:1', stats: 'dns:///b:2', state: 'dns:///c:3' });
    expect(() => chooseStores({ ...env, AGENTX_STATE_STORE_URL: 'c:3' })).toThrow();
  });
});

describe('chooseProvider', () => {
  const none = {
    AGENTX_PROVIDER: undefined,
    ANTHROPIC_API_KEY: undefined,
    ANTHROPIC_BASE_URL: undefined,
  };

  test('with a key: Anthropic, at the given address', () => {
    const env = { ...none, ANTHROPIC_API_KEY: 'k', ANTHROPIC_BASE_URL: 'http://g' };
    expect(chooseProvider(env)).toEqual({ kind: 'anthropic', apiKey: 'k', baseUrl: 'http://g' });
    expect(chooseProvider({ ...env, AGENTX_PROVIDER: 'simulated' })).toMatchObject({ kind: 'simulated' });
  });

  test('the simulated model says why it answers', () => {
    expect(chooseProvider(none)).toEqual({
      kind: 'simulated',
      named: false,
      notice: expect.stringContaining('ANTHROPIC_API_KEY is not set'),
    });
    expect(chooseProvider({ ...none, AGENTX_PROVIDER: 'simulated' })).toMatchObject({ named: true });
  });
});

test('nearest finds what was left out and slips of the pen, and nothing else', () => {
  const candidates = ['AGENTX_LISTEN', 'AGENTX_MODEL', 'AGENTX_LOG_LEVEL'];
  expect(nearest('AGENTX_LISTNE', candidates)).toBe('AGENTX_LISTEN');
  expect(nearest('AGENTX_LEVEL', candidates)).toBe('AGENTX_LOG_LEVEL');
  expect(nearest('AGENTX_COLOUR_SCHEME', candidates)).toBeUndefined();
});
