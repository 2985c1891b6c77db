import { describe, expect, test } from '@jest/globals';
import { redactText } from '../logging/index.ts';
import { ConfigError } from './config-error.ts';
import type { Program } from './program.ts';
import { programs } from './program.ts';
import { readEnv } from './read-env.ts';
import { isDerived } from './variable.ts';
import type { Variable } from './variable.ts';
import { variables } from './variables.ts';

const cloudEngine = {
  AGENTX_SESSION_STORE_URL: 'dns:///session-store:8091',
  AGENTX_STATS_STORE_URL: 'dns:///stats-store:8092',
  AGENTX_STATE_STORE_URL: 'ipv4:127.0.0.1:8093,127.0.0.1:8096',
  AGENTX_WORKSPACE_ROOT: '/mnt/agentx',
  AGENTX_PROVIDER: 'simulated',
};

function failure(program: Program, env: NodeJS.ProcessEnv): ConfigError {
  try {
    readEnv(program, env);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('readEnv accepted the environment');
}

const names = (error: ConfigError) => error.problems.map(({ name }) => name);

describe('defaults', () => {
  test('the desktop needs no variable at all', () => {
    const env = readEnv('desktop', {});
    expect(env).toMatchObject({
      AGENTX_LISTEN: '127.0.0.1:8080',
      AGENTX_OPS_LISTEN: '127.0.0.1:9080',
      AGENTX_DATABASE_URL: 'sqlite:.agentx/data',
      AGENTX_SESSION_STORE_URL: 'local',
      AGENTX_WORKSPACE_ROOT: `${process.cwd()}/.agentx/workspaces`,
      AGENTX_AUTO_CREATE_AGENTS: true,
      AGENTX_LEASE_TTL_MS: 15_000,
    });
    expect(env.AGENTX_PROVIDER).toBeUndefined();
  });

  test.each([
    ['session-store', '127.0.0.1:8091', '127.0.0.1:9091'],
    ['stats-store', '127.0.0.1:8092', '127.0.0.1:9092'],
    ['state-store', '127.0.0.1:8093', '127.0.0.1:9093'],
  ] as const)('%s has ports of its own', (program, listen, opsListen) => {
    const env = readEnv(program, { AGENTX_DATABASE_URL: 'sqlite:/data' });
    expect([env.AGENTX_LISTEN, env.AGENTX_OPS_LISTEN]).toEqual([listen, opsListen]);
  });

  test('the ops address follows AGENTX_LISTEN, and stays free where that is', () => {
    expect(readEnv('desktop', { AGENTX_LISTEN: '[::1]:7000' }).AGENTX_OPS_LISTEN).toBe('[::1]:8000');
    expect(readEnv('desktop', { AGENTX_LISTEN: '127.0.0.2:0' }).AGENTX_OPS_LISTEN).toBe('127.0.0.2:0');
    expect(names(failure('desktop', { AGENTX_LISTEN: '127.0.0.1:65000' }))).toEqual(['AGENTX_OPS_LISTEN']);
  });

  test('values have the types that are declared', () => {
    const env = readEnv('engine', cloudEngine);
    const ttlMs: number = env.AGENTX_LEASE_TTL_MS;
    const create: boolean = env.AGENTX_AUTO_CREATE_AGENTS;
    const level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent' = env.AGENTX_LOG_LEVEL;
    const key: string | undefined = env.ANTHROPIC_API_KEY;
    // @ts-expect-error an engine has no database
    const database: unknown = env.AGENTX_DATABASE_URL;
    expect([ttlMs, create, level, key, database]).toEqual([15_000, false, 'info', undefined, undefined]);
  });
});

describe('errors', () => {
  test('all of them come at once, with name, value, what is wrong and what is right', () => {
    const error = failure('engine', {
      ...cloudEngine,
      AGENTX_LISTEN: '8080',
      AGENTX_LEASE_TTL_MS: '15s',
      AGENTX_AUTO_CREATE_AGENTS: 'yes',
      AGENTX_SANDBOX: 'docker',
      AGENTX_TOOL_TIMEOUT_MS: '5',
      AGENTX_STATE_STORE_URL: 'http://state:8093',
      AGENTX_LEASE_TTL: '15000',
    });
    expect(error.message).toBe(
      [
        'engine cannot start: 7 problems in the environment.',
        '  AGENTX_LISTEN="8080" is not an address to listen on. Expected: host:port, for example 127.0.0.1:8080 or [::1]:8080.',
        '  AGENTX_STATE_STORE_URL="http://state:8093" is a web address, not a gRPC target. Expected: dns:///state:8093.',
        '  AGENTX_LEASE_TTL_MS="15s" is not a whole number. Expected: milliseconds, 100 to 600000.',
        '  AGENTX_AUTO_CREATE_AGENTS="yes" is neither true nor false. Expected: true or false.',
        '  AGENTX_SANDBOX="docker" is not one of the choices. Expected: bubblewrap, off.',
        '  AGENTX_TOOL_TIMEOUT_MS="5" is out of range. Expected: milliseconds, 1000 to 86400000.',
        '  AGENTX_LEASE_TTL is not a variable that AgentX knows. Did you mean AGENTX_LEASE_TTL_MS?',
        'docs/reference.md lists every variable.',
      ].join('\n'),
    );
  });

  test('a store without a database does not fall back to one', () => {
    expect(failure('session-store', {}).message).toContain(
      'AGENTX_DATABASE_URL is not set. Expected: sqlite:',
    );
  });

  test('an empty value is no default', () => {
    expect(failure('desktop', { AGENTX_LISTEN: '' }).message).toContain('AGENTX_LISTEN is empty.');
  });

  test('an unknown name far from all others is told to go', () => {
    expect(failure('desktop', { AGENTX_WEATHER_FORECAST: '1' }).message).toContain(
      'AGENTX_WEATHER_FORECAST is not a variable that AgentX knows. Remove it.',
    );
  });

  test('what another program reads is fine, whatever its value', () => {
    expect(() =>
      readEnv('stats-store', { AGENTX_DATABASE_URL: 'sqlite:d', AGENTX_DRAIN_MS: 'x' }),
    ).not.toThrow();
  });

  test('neither the key nor a password of a database is shown', () => {
    const { message } = failure('desktop', {
      ANTHROPIC_API_KEY: 'sk-ant-canary\nline',
      AGENTX_DATABASE_URL: 'postgress://agentx:canary@db/agentx',
      AGENTX_DATABASE_DIRECT_URL: 'postgres:/agentx:canary@db/agentx?password=canary',
    });
    expect(message).toContain('ANTHROPIC_API_KEY is blank or has several lines');
    expect(message).toContain('AGENTX_DATABASE_URL="postgress://agentx:***@db/agentx"');
    expect(message).not.toContain('canary');
  });
});

describe('rules', () => {
  test('an engine has no local stores', () => {
    const error = failure('engine', { ...cloudEngine, AGENTX_STATS_STORE_URL: 'local' });
    expect(names(error)).toEqual(['AGENTX_STATS_STORE_URL']);
    expect(error.message).toContain('an engine has no stores of its own');
  });

  test('a mix of local and remote stores is named', () => {
    const error = failure('desktop', {
      AGENTX_STATE_STORE_URL: 'dns:///s:8093',
      AGENTX_PROVIDER: 'simulated',
    });
    expect(error.message).toContain(
      'AGENTX_SESSION_STORE_URL, AGENTX_STATS_STORE_URL are local while AGENTX_STATE_STORE_URL is not.',
    );
  });

  test('a cloud engine without a key and without a provider refuses to start', () => {
    const error = failure('engine', { ...cloudEngine, AGENTX_PROVIDER: undefined });
    expect(names(error)).toEqual(['ANTHROPIC_API_KEY']);
    expect(error.message).toContain('AGENTX_PROVIDER=simulated');
    const withKey = { ...cloudEngine, AGENTX_PROVIDER: undefined, ANTHROPIC_API_KEY: 'sk-ant-1' };
    expect(readEnv('engine', withKey).ANTHROPIC_API_KEY).toBe('sk-ant-1');
  });

  test('AGENTX_PROVIDER=anthropic needs a key everywhere; an empty key is none', () => {
    const env = { AGENTX_PROVIDER: 'anthropic', ANTHROPIC_API_KEY: '' };
    expect(names(failure('desktop', env))).toEqual(['ANTHROPIC_API_KEY']);
  });

  test('a direct address without PostgreSQL is an error', () => {
    expect(names(failure('desktop', { AGENTX_DATABASE_DIRECT_URL: 'postgres://db/agentx' }))).toEqual([
      'AGENTX_DATABASE_DIRECT_URL',
    ]);
  });
});

describe('who may call', () => {
  const jwt = {
    AGENTX_JWT_ISSUER: 'https://issuer.example',
    AGENTX_JWT_AUDIENCE: 'agentx',
    AGENTX_JWT_JWKS: 'https://issuer.example/keys',
  };
  const tls = { AGENTX_TLS_CERT: 'tls.crt', AGENTX_TLS_KEY: 'tls.key', AGENTX_TLS_CA: 'ca.crt' };
  const everywhere = { AGENTX_LISTEN: '0.0.0.0:7000' };
  const store = { AGENTX_DATABASE_URL: 'sqlite:data' };
  const insecure = { AGENTX_INSECURE_ALLOW_UNAUTHENTICATED: 'true' };

  test.each<[Program, NodeJS.ProcessEnv, NodeJS.ProcessEnv, NodeJS.ProcessEnv]>([
    ['desktop', {}, jwt, tls],
    ['engine', cloudEngine, jwt, tls],
    ['session-store', store, tls, {}],
    ['stats-store', store, tls, {}],
    ['state-store', store, tls, {}],
  ])('%s: from other machines only those who prove it', (program, env, proof, other) => {
    for (const AGENTX_LISTEN of ['127.0.0.1:7000', '127.1.2.3:7000', 'localhost:7000', '[::1]:7000'])
      expect(() => readEnv(program, { ...env, AGENTX_LISTEN })).not.toThrow();
    for (const AGENTX_LISTEN of ['0.0.0.0:7000', '[::]:7000', '10.0.0.1:7000', 'localhost.evil.example:7000'])
      expect(names(failure(program, { ...env, ...other, AGENTX_LISTEN }))).toEqual(['AGENTX_LISTEN']);
    expect(() => readEnv(program, { ...env, ...everywhere, ...proof })).not.toThrow();
    expect(() => readEnv(program, { ...env, ...everywhere, ...insecure })).not.toThrow();
    expect(failure(program, { ...env, ...everywhere }).message).toMatch(
      /can be reached from other machines, and nothing tells who calls.*AGENTX_INSECURE_ALLOW_UNAUTHENTICATED=true/,
    );
  });

  test('a part of what tokens need is an error that names the rest', () => {
    const { AGENTX_JWT_ISSUER } = jwt;
    expect(names(failure('desktop', { AGENTX_JWT_ISSUER }))).toEqual([
      'AGENTX_JWT_AUDIENCE',
      'AGENTX_JWT_JWKS and AGENTX_JWT_PUBLIC_KEY',
    ]);
    const both = failure('desktop', { ...jwt, AGENTX_JWT_PUBLIC_KEY: 'key.pem' });
    expect(both.message).toContain('AGENTX_JWT_JWKS and AGENTX_JWT_PUBLIC_KEY are both set');
  });

  test('keys of an issuer do not come over the network in the clear', () => {
    const from = (AGENTX_JWT_JWKS: string) => ({ ...jwt, AGENTX_JWT_JWKS });
    expect(failure('desktop', from('http://issuer.example/keys')).message).toContain(
      'is fetched without TLS',
    );
    expect(readEnv('desktop', from('http://127.0.0.1:9000/keys')).AGENTX_JWT_JWKS).toMatch(/^http:/);
    expect(readEnv('desktop', from('keys.json')).AGENTX_JWT_JWKS).toBe(`${process.cwd()}/keys.json`);
  });

  test('a part of what TLS needs is an error that names the rest', () => {
    const { AGENTX_TLS_CERT } = tls;
    expect(names(failure('stats-store', { ...store, AGENTX_TLS_CERT }))).toEqual([
      'AGENTX_TLS_KEY',
      'AGENTX_TLS_CA',
    ]);
  });
});

test('a secret that was read never shows in a log line', () => {
  readEnv('desktop', { ANTHROPIC_API_KEY: 'canary-of-another-form' });
  expect(redactText('sent canary-of-another-form')).toBe('sent [redacted]');
});

test('every declared default and example is a valid value', () => {
  for (const variable of Object.values<Variable>(variables)) {
    const { default: fallback } = variable;
    const texts = typeof fallback === 'object' && !isDerived(fallback) ? Object.values(fallback) : [fallback];
    for (const text of [...texts, variable.example].filter((value) => typeof value === 'string')) {
      expect(() => variable.kind.parse(text)).not.toThrow();
    }
    expect(variable.readBy.every((program) => programs.includes(program))).toBe(true);
  }
});
