/** How the last real use of a dependency went. */
export interface DependencyOutcome {
  readonly ok: boolean;
  /** When that was. */
  readonly at: Date;
  readonly error?: string;
}

/** Something that a program works with. It is never asked for this; see `LastOutcome`. */
export interface Dependency {
  /** How its last use went; undefined before the first one, which counts as well. */
  readonly last: () => DependencyOutcome | undefined;
  /** Calls back when its uses begin to fail and when they succeed again, until the function returned is called. */
  readonly onChange: (listener: (ok: boolean) => void) => () => void;
  /** False where the program's main work goes on without it. Default: true. */
  readonly required?: boolean;
}

/** By name. */
export type Dependencies = Readonly<Record<string, Dependency>>;

/** Whether a program can do its work, and why. */
export interface Readiness {
  readonly ok: boolean;
  /** By name of the dependency. */
  readonly details: Readonly<
    Record<
      string,
      { readonly ok: boolean; readonly required?: false; readonly at?: Date; readonly error?: string }
    >
  >;
}

export interface ReadinessOptions {
  /** Aborts when the program is to end; from then on it is not ready. */
  readonly ending: AbortSignal;
  readonly dependencies: Dependencies;
}

/** Tells readiness from the last real outcomes, so that an idle database is left to sleep. */
export function createReadiness({ ending, dependencies }: ReadinessOptions): () => Readiness {
  return () => {
    const details = Object.fromEntries(
      Object.entries(dependencies).map(([name, { last, required }]) => {
        const { ok, at, error } = last() ?? { ok: true };
        return [
          name,
          {
            ok,
            ...(required === false && { required }),
            ...(at !== undefined && { at }),
            ...(error !== undefined && { error }),
          },
        ];
      }),
    );
    if (ending.aborted)
      return { ok: false, details: { ...details, process: { ok: false, error: 'ending' } } };
    return { ok: allRequiredOk(dependencies), details };
  };
}

/** True while no required dependency has failed. */
export function allRequiredOk(dependencies: Dependencies): boolean {
  return Object.values(dependencies).every(
    ({ last, required }) => required === false || last()?.ok !== false,
  );
}
