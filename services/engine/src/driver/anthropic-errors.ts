import { APIConnectionError, APIConnectionTimeoutError, APIError } from '@anthropic-ai/sdk';
import { DriverError } from './driver.ts';
import type { DriverErrorReason } from './driver.ts';

interface Failure {
  /** Undefined for an error within a stream. */
  status: number | undefined;
  /** The provider's `error.type`. */
  type: string | undefined;
  /** The provider's own words. */
  detail: string;
  model: string;
}

const MAX_DETAIL_LENGTH = 500;
/** The API has no code of its own for these two: both are an invalid_request_error. */
const TOO_LONG = /prompt is too long|context (?:limit|window|length)|too many (?:input )?tokens/i;
const NO_CREDIT = /credit balance/i;

const RETRYABLE: ReadonlySet<DriverErrorReason> = new Set([
  'MODEL_OVERLOADED',
  'MODEL_RATE_LIMITED',
  'MODEL_UNAVAILABLE',
  'MODEL_STREAM_BROKEN',
]);

/** What a model call failed with, before or amid its answer. */
export function toDriverError(error: unknown, model: string): DriverError {
  if (error instanceof DriverError) return error;
  if (error instanceof APIConnectionTimeoutError) return silent(error);
  if (error instanceof APIConnectionError) {
    const mend = 'check the network and ANTHROPIC_BASE_URL';
    return failed('MODEL_UNAVAILABLE', `the model's provider could not be reached: ${mend}`, error);
  }
  if (error instanceof APIError) {
    const { type, status, headers } = error as APIError<
      number | undefined,
      Headers | undefined,
      object | undefined
    >;
    const failure = { status, type: type ?? undefined, detail: error.apiMessage ?? '', model };
    const reason = reasonOf(failure);
    const refused = headers?.get('x-should-retry') === 'false';
    return new DriverError(reason, describe(reason, failure), {
      retryable: RETRYABLE.has(reason) && !refused,
      cause: error,
    });
  }
  return broken('the answer broke off', error);
}

/** An answer that cannot be used. `what` says what is wrong with it. */
export function broken(what: string, cause?: unknown): DriverError {
  return failed(
    'MODEL_STREAM_BROKEN',
    `the connection to the model's provider failed, ${what}: send the message again`,
    cause,
  );
}

/** A provider that says nothing. */
export function silent(cause?: unknown): DriverError {
  const text =
    "the model's provider sent nothing for too long: send the message again, or check ANTHROPIC_BASE_URL";
  return failed('MODEL_UNAVAILABLE', text, cause);
}

function failed(reason: DriverErrorReason, message: string, cause: unknown): DriverError {
  return new DriverError(reason, message, { retryable: true, cause });
}

/** By the type, which streams have too; by the status for what stands between us and the provider. */
function reasonOf({ status, type, detail }: Failure): DriverErrorReason {
  switch (type) {
    case 'overloaded_error':
      return 'MODEL_OVERLOADED';
    case 'rate_limit_error':
      return 'MODEL_RATE_LIMITED';
    case 'authentication_error':
      return 'MODEL_AUTHENTICATION';
    case 'permission_error':
      return 'MODEL_PERMISSION_DENIED';
    case 'billing_error':
      return 'MODEL_BILLING';
    case 'not_found_error':
      return 'MODEL_NOT_FOUND';
    case 'request_too_large':
      return 'MODEL_CONTEXT_TOO_LONG';
    case 'invalid_request_error':
      if (TOO_LONG.test(detail)) return 'MODEL_CONTEXT_TOO_LONG';
      return NO_CREDIT.test(detail) ? 'MODEL_BILLING' : 'MODEL_BAD_REQUEST';
    default:
      return reasonOfStatus(status);
  }
}

function reasonOfStatus(status: number | undefined): DriverErrorReason {
  switch (status) {
    case 401:
      return 'MODEL_AUTHENTICATION';
    case 402:
      return 'MODEL_BILLING';
    case 403:
      return 'MODEL_PERMISSION_DENIED';
    case 404:
      return 'MODEL_NOT_FOUND';
    case 413:
      return 'MODEL_CONTEXT_TOO_LONG';
    case 429:
      return 'MODEL_RATE_LIMITED';
    case 529:
      return 'MODEL_OVERLOADED';
    default: {
      const mayPass = status === undefined || status >= 500 || status === 408 || status === 409;
      return mayPass ? 'MODEL_UNAVAILABLE' : 'MODEL_BAD_REQUEST';
    }
  }
}

function describe(reason: DriverErrorReason, { status, detail, model }: Failure): string {
  const code = status === undefined ? '' : ` (HTTP ${status})`;
  const words = detail === '' ? '' : `: ${detail.slice(0, MAX_DETAIL_LENGTH)}`;
  switch (reason) {
    case 'MODEL_OVERLOADED':
      return `the model's provider is overloaded${code}: send the message again later`;
    case 'MODEL_RATE_LIMITED':
      return `the rate limit of the key in ANTHROPIC_API_KEY is reached${code}: send the message again later${words}`;
    case 'MODEL_AUTHENTICATION':
      return `the model's provider refused the key in ANTHROPIC_API_KEY${code}: set a valid key and restart the engine`;
    case 'MODEL_PERMISSION_DENIED':
      return `the key in ANTHROPIC_API_KEY may not use the model ${model}${code}: use another key or model${words}`;
    case 'MODEL_BILLING':
      return `the account of the key in ANTHROPIC_API_KEY cannot pay${code}: add credit${words}`;
    case 'MODEL_NOT_FOUND':
      return `the model's provider does not know the model ${model}${code}: name another, or check ANTHROPIC_BASE_URL`;
    case 'MODEL_CONTEXT_TOO_LONG':
      return `the conversation is too long for the model ${model}${code}: shorten or clear it${words}`;
    case 'MODEL_BAD_REQUEST':
      return `the model's provider refused the request${code}${words}`;
    case 'MODEL_UNAVAILABLE':
    case 'MODEL_STREAM_BROKEN':
      return `the model's provider failed${code}: send the message again later`;
  }
}
