import type { DescMessage, Message } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import type { Violation } from '@bufbuild/protovalidate';
import { Code } from '@connectrpc/connect';
import { BadRequestSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import { DomainError } from './errors.ts';

/** Checks a request against the rules in its protobuf file. Throws INVALID_ARGUMENT `INVALID_REQUEST`. */
export type ValidateRequest = (schema: DescMessage, request: Message) => void;

/**
 * A check that compiles the rules of each message type once, when the first message of that type comes. The error
 * names every field at fault, in its text and as `google.rpc.BadRequest`.
 */
export function createRequestValidation(): ValidateRequest {
  const validator = createValidator();
  return (schema, request) => {
    const result = validator.validate(schema, request);
    if (result.kind === 'valid') return;
    if (result.kind === 'error') throw result.error;
    throw invalidRequest(result.violations);
  };
}

/** What our patterns mean, for people: a regular expression names no mend. */
const PATTERNS: ReadonlyMap<string, string> = new Map([
  ['\\S', 'must not be blank: say something'],
  ['^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$', idRule('')],
  ['^([A-Za-z0-9][A-Za-z0-9._-]{0,127})?$', idRule(', or be left out')],
  ['^[!-~]{0,128}$', 'must be printable ASCII without spaces, 128 characters at most'],
  ['^[!-~]{1,128}$', 'must be 1 to 128 characters of printable ASCII without spaces'],
]);

function idRule(orElse: string): string {
  return `must be letters, digits, ".", "_" or "-", begin with a letter or digit, and have 1 to 128 characters${orElse}`;
}

const describe = (message: string): string =>
  PATTERNS.get(/^does not match regex pattern `(.*)`$/.exec(message)?.[1] ?? '') ?? message;

/** Errors travel in headers, which have a limit. */
const MAX_FIELDS_TOLD = 20;

function invalidRequest(violations: readonly Violation[]): DomainError {
  const fieldViolations = violations.slice(0, MAX_FIELDS_TOLD).map(({ field, message, ruleId }) => ({
    field: pathToString(field),
    description: describe(message),
    reason: ruleId.replace(/\W+/g, '_').toUpperCase(),
  }));
  const text = fieldViolations.map(({ field, description }) =>
    field === '' ? description : `${field}: ${description}`,
  );
  if (violations.length > MAX_FIELDS_TOLD) text.push(`and ${violations.length - MAX_FIELDS_TOLD} more`);
  return new DomainError(Code.InvalidArgument, 'INVALID_REQUEST', text.join('; '), {
    details: [{ desc: BadRequestSchema, value: { fieldViolations } }],
  });
}
