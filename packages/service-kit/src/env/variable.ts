import type { Kind } from './kinds.ts';
import type { Program } from './program.ts';

/** A default that depends on the machine or on other values. */
export interface DerivedDefault {
  /** How the reference describes it: `the host name`. */
  readonly described: string;
  /** The default as text, from the text of the variables declared before it. Throws `InvalidValue`. */
  derive(values: Readonly<Record<string, unknown>>): string;
}

/** The declaration of one environment variable. */
export interface Variable {
  readonly kind: Kind<string | number | boolean>;
  /** What it does: sentences, for the reference. */
  readonly description: string;
  /** The programs that read it. */
  readonly readBy: readonly Program[];
  /** For every program, or by program. A program without one has no value unless the variable is set. */
  readonly default?: string | Readonly<Partial<Record<Program, string>>> | DerivedDefault;
  /** A program without a default refuses to start unless the variable is set. */
  readonly required?: true;
  /** The value is never shown. */
  readonly secret?: true;
  /** A value as somebody would set it. */
  readonly example: string;
}

/** True for a default that is computed. */
export function isDerived(value: Variable['default']): value is DerivedDefault {
  return typeof value === 'object' && 'derive' in value;
}
