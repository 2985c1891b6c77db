/** A value that does not have the form it should have. */
export class InvalidValue extends Error {
  override readonly name = 'InvalidValue';
  /** What would be right, for example `host:port, for example 127.0.0.1:8080`. */
  readonly expected: string;

  /** `wrong` goes on from the value's name: `is not a whole number`. */
  constructor(wrong: string, expected: string) {
    super(wrong);
    this.expected = expected;
  }
}
