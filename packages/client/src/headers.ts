import type { Transport } from '@connectrpc/connect';

/** What the constructor of `Headers` takes. */
export type HeadersInit = ConstructorParameters<typeof Headers>[0];

/** A token, or what gives one: it is asked before each call, so that a call after a long time has a fresh one. */
export type Token = string | (() => string | Promise<string>);

export interface CommonHeaders {
  /** Sent with every call. */
  readonly header?: HeadersInit;
  /** Sent with every call as `authorization: Bearer …`, unless there is an `authorization` header already. */
  readonly token?: Token;
}

/** The transport, with headers in every call; a call's own headers go before the common ones. */
export function withHeaders(transport: Transport, { header: common, token }: CommonHeaders): Transport {
  const merge = async (own: HeadersInit): Promise<Headers> => {
    const headers = new Headers(common);
    new Headers(own).forEach((value, name) => headers.set(name, value));
    if (token !== undefined && !headers.has('authorization')) {
      headers.set('authorization', `Bearer ${typeof token === 'string' ? token : await token()}`);
    }
    return headers;
  };
  return {
    async unary(method, signal, timeoutMs, header: HeadersInit, input, values) {
      return transport.unary(method, signal, timeoutMs, await merge(header), input, values);
    },
    async stream(method, signal, timeoutMs, header: HeadersInit, input, values) {
      return transport.stream(method, signal, timeoutMs, await merge(header), input, values);
    },
  };
}
