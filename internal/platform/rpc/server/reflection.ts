import {
  clone,
  toBinary,
  type DescFile,
  type DescMethod,
  type DescService,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, type FileDescriptorProto } from "@bufbuild/protobuf/wkt";
import { nestedTypes } from "@bufbuild/protobuf/reflect";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "../../../gen/google/rpc/status_pb.ts";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";

/** What an error's details are made of: a client that is to show them asks for it, though no method's file imports it. */
const errorFiles: readonly DescFile[] = [file_google_rpc_error_details, file_google_rpc_status];

type Reply = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/**
 * Implements gRPC server reflection over the descriptors of `services`: their files and all that those import, and over the types of
 * errors' details. Versions v1 and v1alpha are the same but for their package, so one implementation serves both. Nothing is told of methods that `hides` names, nor
 * of an RPC service that has no others.
 */
export function createReflection(
  services: readonly DescService[],
  hides: (method: DescMethod) => boolean,
): ServiceImpl<typeof ServerReflection> {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  const add = (file: DescFile): void => {
    if (files.has(file.proto.name)) return;
    files.set(file.proto.name, file);
    for (const type of nestedTypes(file)) {
      if (type.kind === "service" && type.methods.every(hides)) continue;
      symbols.set(type.typeName, file);
      if (type.kind === "service") {
        for (const method of type.methods.filter((each) => !hides(each)))
          symbols.set(`${type.typeName}.${method.name}`, file);
      } else if (type.kind === "message") {
        for (const field of type.fields) symbols.set(`${type.typeName}.${field.name}`, file);
      } else if (type.kind === "extension") {
        const numbers = extensions.get(type.extendee.typeName) ?? new Map<number, DescFile>();
        extensions.set(type.extendee.typeName, numbers.set(type.number, file));
      }
    }
    file.dependencies.forEach(add);
  };
  for (const service of services) add(service.file);
  errorFiles.forEach(add);

  const answer = ({ messageRequest }: ServerReflectionRequest): Reply => {
    switch (messageRequest.case) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: services.map(({ typeName }) => ({ name: typeName })) },
        };
      case "fileByFilename":
        return describe(files.get(messageRequest.value), messageRequest.value, hides);
      case "fileContainingSymbol":
        return describe(symbols.get(messageRequest.value), messageRequest.value, hides);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = messageRequest.value;
        const file = extensions.get(containingType)?.get(extensionNumber);
        return describe(file, `extension ${extensionNumber} of ${containingType}`, hides);
      }
      case "allExtensionNumbersOfType": {
        const baseTypeName = messageRequest.value;
        if (!symbols.has(baseTypeName)) return missing(baseTypeName);
        const extensionNumber = [...(extensions.get(baseTypeName)?.keys() ?? [])];
        return { case: "allExtensionNumbersResponse", value: { baseTypeName, extensionNumber } };
      }
      case undefined:
        return {
          case: "errorResponse",
          value: { errorCode: Code.InvalidArgument, errorMessage: "the request asks for nothing" },
        };
    }
  };
  return {
    serverReflectionInfo: async function* serverReflectionInfo(requests) {
      for await (const request of requests) {
        yield { validHost: request.host, originalRequest: request, messageResponse: answer(request) };
      }
    },
  };
}

function missing(what: string): Reply {
  return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: `${what} is unknown` } };
}

function describe(file: DescFile | undefined, what: string, hides: (method: DescMethod) => boolean): Reply {
  if (file === undefined) return missing(what);
  const needed = new Set<DescFile>();
  const collect = (each: DescFile): void => {
    if (needed.has(each)) return;
    needed.add(each);
    each.dependencies.forEach(collect);
  };
  collect(file);
  return {
    case: "fileDescriptorResponse",
    value: { fileDescriptorProto: [...needed].map((each) => toBinary(FileDescriptorProtoSchema, shown(each, hides))) },
  };
}

/** The file without the methods that are hidden. */
function shown(file: DescFile, hides: (method: DescMethod) => boolean): FileDescriptorProto {
  if (!file.services.some(({ methods }) => methods.some(hides))) return file.proto;
  const proto = clone(FileDescriptorProtoSchema, file.proto);
  for (const [index, { methods }] of file.services.entries()) {
    const service = proto.service[index]!;
    service.method = service.method.filter((_, nth) => !hides(methods[nth]!));
  }
  proto.service = proto.service.filter(({ method }) => method.length > 0);
  return proto;
}
