export type BindValue = string | number | bigint | boolean | Uint8Array | null;

/** Throws where a driver would bind something else than what was meant: SQLite stores a Date as NULL, silently. */
export function checkParameters(parameters: readonly unknown[]): asserts parameters is readonly BindValue[] {
  for (const [index, value] of parameters.entries()) {
    if (!isBindValue(value)) {
      throw new TypeError(`parameter ${index + 1} of the statement is ${describe(value)}`);
    }
  }
}

function isBindValue(value: unknown): value is BindValue {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return true;
    default:
      return value === null || value instanceof Uint8Array;
  }
}

function describe(value: unknown): string {
  if (value === undefined) return 'undefined: pass null for "no value"';
  if (value instanceof Date) return 'a Date: pass its milliseconds, getTime()';
  return `a ${typeof value}: pass a string, number, bigint, boolean, Uint8Array or null (JSON as text)`;
}
