import { Metadata } from '@grpc/grpc-js';
import type { HeadersInit } from './headers.ts';

/** Headers as grpc-js sends them; values of names that end in `-bin` are base64 there and bytes here. */
export function toMetadata(common: HeadersInit, header: HeadersInit, waitForReady: boolean): Metadata {
  const metadata = new Metadata({ waitForReady });
  for (const init of [common, header]) {
    if (init === undefined) continue;
    new Headers(init).forEach((value, key) =>
      metadata.set(key, key.endsWith('-bin') ? Buffer.from(value, 'base64') : value),
    );
  }
  return metadata;
}

/** What grpc-js received, as headers. */
export function toHeaders(metadata: Metadata | undefined): Headers {
  const headers = new Headers();
  for (const [key, value] of Object.entries(metadata?.getMap() ?? {})) {
    headers.set(key, typeof value === 'string' ? value : value.toString('base64'));
  }
  return headers;
}
