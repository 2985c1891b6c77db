/** A message field that validation has made sure of. */
export function required<T>(name: string, value: T | undefined): T {
  if (value === undefined) throw new Error(`${name} is missing although validation requires it`);
  return value;
}
