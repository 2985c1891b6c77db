/** True for an error of any realm; `instanceof` knows those of its own only. */
export function isError(value: unknown): value is Error {
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
}
