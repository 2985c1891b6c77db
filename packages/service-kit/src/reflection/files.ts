import { toBinary } from '@bufbuild/protobuf';
import type { DescFile, DescMessage, DescService } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { file_google_rpc_error_details } from '@agentx/gen/google/rpc/error_details_pb.ts';

/** Protobuf files as server reflection tells them. */
export interface ReflectedFiles {
  /** Full names of the services that are served. */
  readonly services: readonly string[];
  /** All files, each encoded as a `google.protobuf.FileDescriptorProto`. */
  readonly encoded: readonly Uint8Array[];
  /** A file by its name and all that it imports, itself first. */
  byName(name: string): readonly Uint8Array[] | undefined;
  /** The file that declares a service, method, message, field, oneof, enum, enum value or extension, and its imports. */
  bySymbol(symbol: string): readonly Uint8Array[] | undefined;
  /** The file that declares an extension of a message, and its imports. */
  byExtension(extendee: string, number: number): readonly Uint8Array[] | undefined;
  /** Numbers of the known extensions of a message. */
  extensionNumbers(extendee: string): readonly number[] | undefined;
}

/** Collects the files of `services`, everything that they import, and the types of error details. */
export function reflectFiles(services: readonly DescService[]): ReflectedFiles {
  const files = new Map<string, DescFile>();
  for (const service of services) addFile(files, service.file);
  // No file imports it: details travel as Any, and clients look their types up to show them.
  addFile(files, file_google_rpc_error_details);
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const file of files.values()) {
    for (const symbol of symbolsOf(file)) symbols.set(symbol, file);
    for (const { extendee, number } of extensionsOf(file)) {
      const numbers = extensions.get(extendee.typeName) ?? new Map<number, DescFile>();
      extensions.set(extendee.typeName, numbers.set(number, file));
    }
  }
  const encodings = new Map(
    [...files.values()].map((file) => [file, toBinary(FileDescriptorProtoSchema, file.proto)]),
  );
  const withImports = (file: DescFile | undefined) => {
    if (file === undefined) return undefined;
    const found = new Map<string, DescFile>();
    addFile(found, file);
    return [...found.values()].flatMap((each) => encodings.get(each) ?? []);
  };
  return {
    services: services.map(({ typeName }) => typeName),
    encoded: [...encodings.values()],
    byName: (name) => withImports(files.get(name)),
    bySymbol: (symbol) => withImports(symbols.get(symbol)),
    byExtension: (extendee, number) => withImports(extensions.get(extendee)?.get(number)),
    extensionNumbers: (extendee) => {
      const numbers = extensions.get(extendee);
      return numbers === undefined ? undefined : [...numbers.keys()];
    },
  };
}

function addFile(files: Map<string, DescFile>, file: DescFile): void {
  if (files.has(file.proto.name)) return;
  files.set(file.proto.name, file);
  for (const imported of file.dependencies) addFile(files, imported);
}

function symbolsOf(file: DescFile): string[] {
  const ofService = (service: DescService) => [
    service.typeName,
    ...service.methods.map(({ name }) => `${service.typeName}.${name}`),
  ];
  return [
    ...file.services.flatMap(ofService),
    ...file.messages.flatMap(symbolsOfMessage),
    ...file.enums.flatMap((each) => [
      each.typeName,
      ...each.values.map(({ name }) => `${parentOf(each.typeName)}${name}`),
    ]),
    ...extensionsOf(file).map(({ typeName }) => typeName),
  ];
}

function symbolsOfMessage(message: DescMessage): string[] {
  return [
    message.typeName,
    ...message.fields.map(({ name }) => `${message.typeName}.${name}`),
    ...message.oneofs.map(({ name }) => `${message.typeName}.${name}`),
    ...message.nestedMessages.flatMap(symbolsOfMessage),
    ...message.nestedEnums.flatMap((each) => [
      each.typeName,
      ...each.values.map(({ name }) => `${parentOf(each.typeName)}${name}`),
    ]),
  ];
}

/** The scope that a type's name is in, with its dot: enum values are declared beside their enum. */
function parentOf(typeName: string): string {
  return typeName.slice(0, typeName.lastIndexOf('.') + 1);
}

function extensionsOf(file: DescFile): DescFile['extensions'] {
  const nested = (message: DescMessage): DescFile['extensions'] => [
    ...message.nestedExtensions,
    ...message.nestedMessages.flatMap(nested),
  ];
  return [...file.extensions, ...file.messages.flatMap(nested)];
}
