import { registerSecret } from '../logging/redact.ts';
import type { Problem } from './config-error.ts';
import { ConfigError } from './config-error.ts';
import { nearest } from './edit-distance.ts';
import { InvalidValue } from './invalid-value.ts';
import type { Kind } from './kinds.ts';
import type { Program } from './program.ts';
import { ruleProblems } from './rules.ts';
import type { DerivedDefault, Variable } from './variable.ts';
import { isDerived } from './variable.ts';
import type { VariableName } from './variables.ts';
import { variables } from './variables.ts';

type Catalogue = typeof variables;

type HasDefault<D, P extends Program> = D extends string | DerivedDefault
  ? true
  : P extends keyof D
    ? true
    : false;

type ValueOf<V, P extends Program> = V extends { kind: Kind<infer T> }
  ? V extends { required: true }
    ? T
    : V extends { default: infer D }
      ? HasDefault<D, P> extends true
        ? T
        : T | undefined
      : T | undefined
  : never;

/** The variables that a program reads, by name: checked, with defaults filled in. */
export type Env<P extends Program> = {
  readonly [N in VariableName as P extends Catalogue[N]['readBy'][number] ? N : never]: ValueOf<
    Catalogue[N],
    P
  >;
};

type Values = Record<string, string | number | boolean | undefined>;

function problem(name: string, variable: Variable, text: string | undefined, error: InvalidValue): Problem {
  const shown =
    text === undefined || text === '' || variable.secret ? undefined : (variable.kind.show?.(text) ?? text);
  return {
    name,
    ...(shown === undefined ? {} : { shown }),
    wrong: error.message,
    right: `Expected: ${error.expected}.`,
  };
}

function defaultText(variable: Variable, program: Program, values: Values): string | undefined {
  if (typeof variable.default === 'string') return variable.default;
  return isDerived(variable.default) ? variable.default.derive(values) : variable.default?.[program];
}

/** Throws `InvalidValue`. */
function readValue(
  name: string,
  variable: Variable,
  program: Program,
  given: string | undefined,
  values: Values,
): string | number | boolean | undefined {
  if (given === '' && name.startsWith('AGENTX_')) {
    throw new InvalidValue('is empty', `no such variable at all, or ${plain(variable.kind.form)}`);
  }
  const text = given === undefined || given === '' ? defaultText(variable, program, values) : given;
  if (text === undefined && variable.required) {
    throw new InvalidValue('is not set', `${plain(variable.kind.form)}, for example ${variable.example}`);
  }
  if (text === undefined) return undefined;
  // Here, so that no program can forget it: from now on no log line shows the value.
  if (variable.secret && text.length >= 8) registerSecret(text);
  return variable.kind.parse(text);
}

function plain(form: string): string {
  return form.replaceAll('`', '');
}

function unknownNames(env: NodeJS.ProcessEnv): Problem[] {
  const known = Object.keys(variables);
  return Object.keys(env)
    .filter((name) => name.startsWith('AGENTX_') && !known.includes(name))
    .map((name) => {
      const meant = nearest(name, known);
      return {
        name,
        wrong: 'is not a variable that AgentX knows',
        right: meant === undefined ? 'Remove it.' : `Did you mean ${meant}?`,
      };
    });
}

/**
 * Reads the environment of one program. Throws `ConfigError` with everything that is wrong: bad and missing values,
 * values that contradict each other, unknown `AGENTX_*` names. An empty standard variable counts as not set.
 */
export function readEnv<P extends Program>(program: P, env: NodeJS.ProcessEnv): Env<P> {
  const problems: Problem[] = [];
  const values: Values = {};
  const declared: readonly (readonly [string, Variable])[] = Object.entries(variables);
  for (const [name, variable] of declared) {
    if (!variable.readBy.includes(program)) continue;
    try {
      values[name] = readValue(name, variable, program, env[name], values);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      // A default derived from a value that is wrong itself is no second problem.
      const derivedFromWrong = env[name] === undefined && isDerived(variable.default) && problems.length > 0;
      if (!derivedFromWrong) problems.push(problem(name, variable, env[name], error));
    }
  }
  const faulty = new Set(problems.map(({ name }) => name));
  problems.push(...ruleProblems(program, values, faulty), ...unknownNames(env));
  if (problems.length > 0) throw new ConfigError(program, problems);
  return values as Env<P>;
}
