import { Code } from '@connectrpc/connect';
import type { ConnectRouter } from '@connectrpc/connect';
import { ServerReflection as V1 } from '@agentx/gen/grpc/reflection/v1/reflection_pb.ts';
import type { ServerReflectionRequest as V1Request } from '@agentx/gen/grpc/reflection/v1/reflection_pb.ts';
import { ServerReflection as V1Alpha } from '@agentx/gen/grpc/reflection/v1alpha/reflection_pb.ts';
import type { ServerReflectionRequest as V1AlphaRequest } from '@agentx/gen/grpc/reflection/v1alpha/reflection_pb.ts';
import type { ReflectedFiles } from './files.ts';

/** The services that tell of themselves: both versions of server reflection. */
export const REFLECTION_SERVICES = [V1, V1Alpha] as const;

/** What both versions of the protocol have in common: their messages differ by package only. */
type Question = Pick<V1Request, 'messageRequest'> | Pick<V1AlphaRequest, 'messageRequest'>;
type Answer =
  | { case: 'listServicesResponse'; value: { service: { name: string }[] } }
  | { case: 'fileDescriptorResponse'; value: { fileDescriptorProto: Uint8Array[] } }
  | { case: 'allExtensionNumbersResponse'; value: { baseTypeName: string; extensionNumber: number[] } }
  | { case: 'errorResponse'; value: { errorCode: number; errorMessage: string } };

/** Adds server reflection, v1 and v1alpha, to a Connect router. */
export function addReflection(router: ConnectRouter, files: ReflectedFiles): void {
  router.service(V1, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(files, request) };
      }
    },
  });
  router.service(V1Alpha, {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(files, request) };
      }
    },
  });
}

function answer(files: ReflectedFiles, { messageRequest: asked }: Question): Answer {
  switch (asked.case) {
    case 'listServices':
      return { case: 'listServicesResponse', value: { service: files.services.map((name) => ({ name })) } };
    case 'fileByFilename':
      return filesOr(files.byName(asked.value), `file ${asked.value}`);
    case 'fileContainingSymbol':
      return filesOr(files.bySymbol(asked.value), `symbol ${asked.value}`);
    case 'fileContainingExtension': {
      const { containingType, extensionNumber } = asked.value;
      return filesOr(
        files.byExtension(containingType, extensionNumber),
        `extension ${extensionNumber} of ${containingType}`,
      );
    }
    case 'allExtensionNumbersOfType': {
      const extensionNumber = files.extensionNumbers(asked.value);
      if (extensionNumber === undefined) return notFound(`extensions of ${asked.value}`);
      return {
        case: 'allExtensionNumbersResponse',
        value: { baseTypeName: asked.value, extensionNumber: [...extensionNumber] },
      };
    }
    case undefined:
      return {
        case: 'errorResponse',
        value: { errorCode: Code.InvalidArgument, errorMessage: 'the request asks for nothing' },
      };
  }
}

function filesOr(found: readonly Uint8Array[] | undefined, what: string): Answer {
  if (found === undefined) return notFound(what);
  return { case: 'fileDescriptorResponse', value: { fileDescriptorProto: [...found] } };
}

function notFound(what: string): Answer {
  return { case: 'errorResponse', value: { errorCode: Code.NotFound, errorMessage: `${what} is not known` } };
}
