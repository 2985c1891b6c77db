/** One thing that is wrong with the environment. */
export interface Problem {
  /** Name of the variable at fault. */
  readonly name: string;
  /** Its value as it may be shown; absent where it is not set or secret. */
  readonly shown?: string;
  /** What is wrong; goes on from the name: `is not a whole number`. */
  readonly wrong: string;
  /** What would be right: a sentence. */
  readonly right: string;
}

function line({ name, shown, wrong, right }: Problem): string {
  return `  ${name}${shown === undefined ? '' : `=${JSON.stringify(shown)}`} ${wrong}. ${right}`;
}

/** The environment is wrong. The message is made for people and lists every problem, one a line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(program: string, problems: readonly Problem[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    super(
      [
        `${program} cannot start: ${count} in the environment.`,
        ...problems.map(line),
        'docs/reference.md lists every variable.',
      ].join('\n'),
    );
    this.problems = problems;
  }
}
