import { create } from '@bufbuild/protobuf';
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '@agentx/gen/google/rpc/error_details_pb.ts';
import type { ErrorInfo } from '@agentx/gen/google/rpc/error_details_pb.ts';

/** The domain of every `google.rpc.ErrorInfo` that AgentX sends. */
export const ERROR_DOMAIN = 'agentx';

/** What a `DomainError` may carry besides its code, reason and text. */
export interface DomainErrorOptions {
  /** Facts a program can use, for example the id of the turn that is in the way. Sent to the caller. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Further error details, for example `google.rpc.BadRequest`. Sent to the caller. */
  readonly details?: readonly ErrorDetail[];
  /** What caused it. Logged, never sent. */
  readonly cause?: unknown;
}

/** A message that is sent along with an error. */
export interface ErrorDetail {
  readonly desc: DescMessage;
  readonly value: MessageInitShape<DescMessage>;
}

/** A failure that callers are told about: one status code, one machine-readable reason, one public text. */
export class DomainError extends Error {
  override readonly name = 'DomainError';
  readonly code: Code;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly details: readonly ErrorDetail[];

  /**
   * @param reason upper case with underscores, for example `TURN_IN_PROGRESS`; part of the API
   * @param message public text: what is wrong and how to mend it
   */
  constructor(code: Code, reason: string, message: string, options: DomainErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.reason = reason;
    this.metadata = options.metadata ?? {};
    this.details = options.details ?? [];
  }
}

/**
 * What a caller is told about `error`. Domain errors keep their code, reason and text, also those that came from
 * another of our services. Everything else is INTERNAL with the text `internal error`, except that a service which
 * cannot be reached is UNAVAILABLE. No cause is attached: the caller may be in the same process.
 */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof DomainError) return fromDomainError(error);
  if (error instanceof ConnectError) return fromOtherService(error);
  return internalError();
}

function fromDomainError(error: DomainError): ConnectError {
  const { reason, metadata } = error;
  const info: ErrorDetail = {
    desc: ErrorInfoSchema,
    value: create(ErrorInfoSchema, { domain: ERROR_DOMAIN, reason, metadata: { ...metadata } }),
  };
  // Half a surrogate pair cannot be put into a header.
  return new ConnectError(error.message.toWellFormed(), error.code, undefined, [info, ...error.details]);
}

function fromOtherService(error: ConnectError): ConnectError {
  if (errorInfoOf(error) !== undefined) {
    const own = new ConnectError(error.rawMessage, error.code);
    own.details = error.details;
    return own;
  }
  switch (error.code) {
    case Code.Unknown:
    case Code.Internal:
    case Code.DataLoss:
      return internalError();
    case Code.Unavailable:
      return fromDomainError(
        new DomainError(
          error.code,
          'DEPENDENCY_UNAVAILABLE',
          'a service behind this one cannot be reached: try again',
        ),
      );
    default:
      return new ConnectError(error.rawMessage, error.code);
  }
}

function internalError(): ConnectError {
  return fromDomainError(new DomainError(Code.Internal, 'INTERNAL', 'internal error'));
}

function errorInfoOf(error: unknown): ErrorInfo | undefined {
  if (!(error instanceof ConnectError)) return undefined;
  return error.findDetails(ErrorInfoSchema).find((info) => info.domain === ERROR_DOMAIN);
}

/** The machine-readable reason of an error that came over any transport, or of a `DomainError`. */
export function reasonOf(error: unknown): string | undefined {
  return error instanceof DomainError ? error.reason : errorInfoOf(error)?.reason;
}

/** The status code of an error that came over any transport, or of a `DomainError`. */
export function codeOf(error: unknown): Code | undefined {
  return error instanceof DomainError || error instanceof ConnectError ? error.code : undefined;
}

/** The facts that came with an error; empty where there are none. */
export function metadataOf(error: unknown): Readonly<Record<string, string>> {
  return error instanceof DomainError ? error.metadata : (errorInfoOf(error)?.metadata ?? {});
}
