/** How the last real use of a dependency went. */
export interface DependencyOutcome {
  readonly ok: boolean;
  /** When that was. */
  readonly at: Date;
  readonly error?: string | undefined;
}

/** Whether a program can do its work, and why. */
export interface Readiness {
  readonly ok: boolean;
  /** By name of the dependency. */
  readonly details: Readonly<
    Record<string, { readonly ok: boolean; readonly at?: Date; readonly error?: string }>
  >;
}

export interface ReadinessOptions {
  /** Aborts when the program is to end; from then on it is not ready. */
  readonly ending: AbortSignal;
  /** By name: the last outcome. A dependency that was not used yet counts as well. Nothing is asked for it. */
  readonly dependencies: Readonly<Record<string, () => DependencyOutcome | undefined>>;
}

/** Tells readiness from the last real outcomes, so that an idle database is left to sleep. */
export function createReadiness({ ending, dependencies }: ReadinessOptions): () => Readiness {
  return () => {
    const details = Object.fromEntries(
      Object.entries(dependencies).map(([name, last]) => {
        const outcome = last();
        if (outcome === undefined) return [name, { ok: true }];
        const { ok, at, error } = outcome;
        return [name, { ok, at, ...(error === undefined ? {} : { error }) }];
      }),
    );
    if (ending.aborted)
      return { ok: false, details: { ...details, process: { ok: false, error: 'ending' } } };
    return { ok: Object.values(details).every((detail) => detail.ok), details };
  };
}
