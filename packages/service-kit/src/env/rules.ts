import type { Problem } from './config-error.ts';
import type { Program } from './program.ts';
import { isLoopbackHost, parseHostPort } from './host-port.ts';
import { databaseUrl } from './kinds.ts';

type Values = Readonly<Record<string, unknown>>;

export const storeNames = [
  'AGENTX_SESSION_STORE_URL',
  'AGENTX_STATS_STORE_URL',
  'AGENTX_STATE_STORE_URL',
] as const;

function storeProblems(program: Program, values: Values): Problem[] {
  const local = storeNames.filter((name) => values[name] === 'local');
  if (local.length === 0) return [];
  if (program === 'engine') {
    return local.map((name) => ({
      name,
      shown: 'local',
      wrong: 'is local, and an engine has no stores of its own',
      right:
        'Expected: a gRPC target, for example dns:///host:port. The desktop (npm start) has local stores.',
    }));
  }
  if (local.length === storeNames.length) return [];
  return [
    {
      name: local.join(', '),
      wrong: `${local.length === 1 ? 'is' : 'are'} local while ${storeNames
        .filter((name) => !local.includes(name))
        .join(', ')} ${local.length === 2 ? 'is' : 'are'} not`,
      right: 'Expected: all three stores local, or none.',
    },
  ];
}

/** True where the stores are not in this process: nobody is at hand who could read a notice. */
export function isCloud(program: Program, values: Values): boolean {
  return program === 'engine' || storeNames.some((name) => values[name] !== 'local');
}

function providerProblems(program: Program, values: Values): Problem[] {
  if (values.ANTHROPIC_API_KEY !== undefined || values.AGENTX_PROVIDER === 'simulated') return [];
  if (values.AGENTX_PROVIDER === undefined && !isCloud(program, values)) return [];
  return [
    {
      name: 'ANTHROPIC_API_KEY',
      wrong:
        values.AGENTX_PROVIDER === undefined
          ? 'is not set, and nor is AGENTX_PROVIDER'
          : 'is not set, and AGENTX_PROVIDER is anthropic',
      right: "Expected: a key of Anthropic's API, or AGENTX_PROVIDER=simulated.",
    },
  ];
}

function directUrlProblems(values: Values): Problem[] {
  const [url, direct] = [values.AGENTX_DATABASE_URL, values.AGENTX_DATABASE_DIRECT_URL];
  if (typeof url !== 'string' || typeof direct !== 'string') return [];
  if (!url.startsWith('sqlite:') && !direct.startsWith('sqlite:')) return [];
  return [
    {
      name: 'AGENTX_DATABASE_DIRECT_URL',
      shown: databaseUrl.show?.(direct) ?? direct,
      wrong: 'goes with PostgreSQL only',
      right: 'Expected: not set, or both AGENTX_DATABASE_URL and it postgres://….',
    },
  ];
}

const jwtNames = ['AGENTX_JWT_ISSUER', 'AGENTX_JWT_AUDIENCE'] as const;
const jwtKeyNames = ['AGENTX_JWT_JWKS', 'AGENTX_JWT_PUBLIC_KEY'] as const;
const tlsNames = ['AGENTX_TLS_CERT', 'AGENTX_TLS_KEY', 'AGENTX_TLS_CA'] as const;

const isSet = (values: Values) => (name: string) => values[name] !== undefined;

function jwtProblems(values: Values): Problem[] {
  const given = [...jwtNames, ...jwtKeyNames].filter(isSet(values));
  const [first] = given;
  if (first === undefined) return [];
  const missing = jwtNames.filter((name) => !given.includes(name));
  const problems: Problem[] = missing.map((name) => ({
    name,
    wrong: `is not set while ${first} is`,
    right: 'Expected: what a token must say to be accepted.',
  }));
  const keys = jwtKeyNames.filter(isSet(values));
  if (keys.length === 1) return problems;
  const wrong = keys.length === 0 ? `are not set while ${first} is` : 'are both set';
  return [
    ...problems,
    { name: jwtKeyNames.join(' and '), wrong, right: "Expected: one of them, the issuer's public keys." },
  ];
}

function tlsProblems(values: Values): Problem[] {
  const given = tlsNames.filter(isSet(values));
  if (given.length === 0) return [];
  return tlsNames
    .filter((name) => !given.includes(name))
    .map((name) => ({
      name,
      wrong: `is not set while ${given.join(' and ')} ${given.length === 1 ? 'is' : 'are'}`,
      right: 'Expected: all three, for mutual TLS, or none.',
    }));
}

/** Who is reached from other machines must know who calls. */
function listenProblems(program: Program, values: Values): Problem[] {
  const listen = String(values.AGENTX_LISTEN);
  if (values.AGENTX_INSECURE_ALLOW_UNAUTHENTICATED === true || isLoopbackHost(parseHostPort(listen).host))
    return [];
  const isEngine = program === 'desktop' || program === 'engine';
  if ((isEngine ? jwtNames : tlsNames).some(isSet(values))) return [];
  return [
    {
      name: 'AGENTX_LISTEN',
      shown: listen,
      wrong: 'can be reached from other machines, and nothing tells who calls',
      right: isEngine
        ? 'Expected: an address of loopback (127.0.0.1:PORT), or tokens (AGENTX_JWT_…). AGENTX_INSECURE_ALLOW_UNAUTHENTICATED=true lets everybody in who reaches it.'
        : 'Expected: an address of loopback (127.0.0.1:PORT), or mutual TLS (AGENTX_TLS_…). AGENTX_INSECURE_ALLOW_UNAUTHENTICATED=true lets everybody in who reaches it.',
    },
  ];
}

/** What is wrong with values that are right by themselves. Rules that concern a `faulty` variable are left out. */
export function ruleProblems(program: Program, values: Values, faulty: ReadonlySet<string>): Problem[] {
  const problems: Problem[] = [];
  const concerns = (...names: string[]) => names.some((name) => faulty.has(name));
  if (program === 'desktop' || program === 'engine') {
    if (!concerns(...storeNames)) problems.push(...storeProblems(program, values));
    const decides = program === 'engine' ? [] : storeNames;
    if (!concerns('ANTHROPIC_API_KEY', 'AGENTX_PROVIDER', ...decides)) {
      problems.push(...providerProblems(program, values));
    }
  }
  if (!concerns(...jwtNames, ...jwtKeyNames)) problems.push(...jwtProblems(values));
  if (!concerns(...tlsNames)) problems.push(...tlsProblems(values));
  if (!concerns('AGENTX_LISTEN', 'AGENTX_INSECURE_ALLOW_UNAUTHENTICATED', ...jwtNames, ...tlsNames))
    problems.push(...listenProblems(program, values));
  if (!concerns('AGENTX_DATABASE_URL', 'AGENTX_DATABASE_DIRECT_URL'))
    problems.push(...directUrlProblems(values));
  return problems;
}
