import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import type { ConnectError } from '@connectrpc/connect';
import { Metadata } from '@grpc/grpc-js';
import type { StatusObject } from '@grpc/grpc-js';
import { StatusSchema } from '@agentx/gen/google/rpc/status_pb.ts';

/** The trailer that carries an error's details as a `google.rpc.Status`. */
const DETAILS_TRAILER = 'grpc-status-details-bin';

/** An error as grpc-js sends it: Connect's codes are gRPC's, details go into a trailer. */
export function toGrpcError(error: ConnectError): Error & Partial<StatusObject> {
  const metadata = new Metadata();
  if (error.details.length > 0) {
    const details = error.details.flatMap((detail) =>
      'desc' in detail
        ? [anyPack(detail.desc, create(detail.desc, detail.value))]
        : [
            {
              $typeName: 'google.protobuf.Any' as const,
              typeUrl: `type.googleapis.com/${detail.type}`,
              value: detail.value,
            },
          ],
    );
    const status = create(StatusSchema, { code: error.code, message: error.rawMessage, details });
    metadata.set(DETAILS_TRAILER, Buffer.from(toBinary(StatusSchema, status)));
  }
  const code: number = error.code;
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- Connect's codes are gRPC's numbers under names of its own
  return Object.assign(new Error(error.rawMessage), { code, details: error.rawMessage, metadata });
}
