import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';

/**
 * Reads and drops what is left of a request that is answered unread. Node resets an HTTP/2 stream whose request nobody
 * reads as soon as it is answered; that is allowed, but there are clients that lose the answer then (curl 7.88).
 */
export function readToEnd(request: IncomingMessage | Http2ServerRequest): void {
  if (!request.readableDidRead) request.resume();
}
