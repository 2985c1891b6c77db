import type { PeerCertificate } from 'node:tls';
import { Code } from '@connectrpc/connect';
import { ServerInterceptingCall, status } from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';
import { DomainError, toConnectError } from '../errors.ts';
import type { Logger } from '../logging/index.ts';
import { toGrpcError } from '../mounts/grpc-status.ts';

/** What a caller may call, by the first part of its certificate's name: `engine` and `engine-1` are engines. */
const ROLES: readonly { readonly role: RegExp; readonly may: RegExp }[] = [
  { role: /^engine(?:-|$)/, may: /^\// },
  { role: /^ops(?:-|$)/, may: /^\/grpc\.health\.v1\.Health\// },
];

/** Whether one of a certificate's names may call a method, given as `/package.Service/Method`. */
export function mayCall(names: readonly string[], path: string): boolean {
  return names.some((name) => {
    const [label = ''] = name.split('.', 1);
    return ROLES.some(({ role, may }) => role.test(label) && may.test(path));
  });
}

/** The names that the authority vouches for: those of DNS, and the common name. */
export function namesOf(
  certificate: Pick<PeerCertificate, 'subject' | 'subjectaltname'> | undefined,
): string[] {
  const alternatives = (certificate?.subjectaltname ?? '').split(', ').flatMap((entry) => {
    // A name with characters that no host name has stands in quotes, and is none.
    const name = /^DNS:([A-Za-z0-9.-]+)$/.exec(entry)?.[1];
    return name === undefined ? [] : [name];
  });
  // A certificate may hold several common names: then which one is meant is not known.
  const common: unknown = certificate?.subject.CN;
  return typeof common === 'string' ? [...alternatives, common] : alternatives;
}

/**
 * Refuses calls that the caller's certificate gives no right to, health and reflection included: PERMISSION_DENIED
 * `CALLER_NOT_ALLOWED`. The connection has proven before that the certificate is one of the authority's.
 */
export function allowByCertificate(log: Logger): ServerInterceptor {
  return ({ path }, call) => {
    const names = namesOf(call.getAuthContext().sslPeerCertificate);
    if (mayCall(names, path)) return new ServerInterceptingCall(call);
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next({
          onReceiveMetadata: () => {
            log.warn(
              { names, path, peer: call.getPeer() },
              'a call was refused: its certificate gives no right to it',
            );
            const refusal = toGrpcError(toConnectError(notAllowed(names)));
            call.sendStatus({
              code: status.PERMISSION_DENIED,
              details: refusal.message,
              metadata: refusal.metadata ?? null,
            });
          },
        });
      },
    });
  };
}

const notAllowed = (names: readonly string[]) =>
  new DomainError(
    Code.PermissionDenied,
    'CALLER_NOT_ALLOWED',
    `the certificate of ${names.join(', ') || 'no name'} gives no right to this call: engines are named engine or engine-…`,
  );
