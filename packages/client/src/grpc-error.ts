import { fromBinary } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import type { StatusObject } from '@grpc/grpc-js';
import { StatusSchema } from '@agentx/gen/google/rpc/status_pb.ts';
import { toHeaders } from './grpc-metadata.ts';

/** A status that grpc-js received or made, as Connect's error, with its details. */
export function toConnectError(status: StatusObject): ConnectError {
  const code: number = status.code;
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- Connect's codes are gRPC's numbers under names of its own
  const error = new ConnectError(status.details, code, toHeaders(status.metadata));
  const [bytes] = status.metadata.get('grpc-status-details-bin');
  if (bytes !== undefined) error.details = detailsOf(Buffer.from(bytes));
  return error;
}

function detailsOf(bytes: Uint8Array): ConnectError['details'] {
  try {
    return fromBinary(StatusSchema, bytes).details.map(({ typeUrl, value }) => ({
      type: typeUrl.slice(typeUrl.lastIndexOf('/') + 1),
      value,
    }));
  } catch {
    // A proxy may have cut the trailer short: the code and the text still say what went wrong.
    return [];
  }
}
