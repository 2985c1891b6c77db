import type { Problem } from './config-error.ts';
import type { Program } from './program.ts';
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
  if (!concerns('AGENTX_DATABASE_URL', 'AGENTX_DATABASE_DIRECT_URL'))
    problems.push(...directUrlProblems(values));
  return problems;
}
