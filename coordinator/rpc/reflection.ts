/**
 * @file gRPC's reflection service: tells grpcurl, buf curl and others what this server offers.
 *
 * v1 and v1alpha are the same messages under two names.
 *
 * @source grpc/reflection/v1/reflection.proto; github.com/grpc/grpc, doc/server-reflection.md
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { type ServerDuplexStream, type ServiceDefinition, status } from "@grpc/grpc-js";
import { FILE_DESCRIPTOR_SET } from "../../proto/gen/descriptors.js";
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  type ServerReflectionServer,
  ServerReflectionService,
} from "../../proto/gen/grpc/reflection/v1/reflection.js";

type Answer = NonNullable<ServerReflectionResponse["messageResponse"]>;
type Stream = ServerDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;

/** A stream that asks for more than this is no tool that a person uses. */
const QUESTIONS_MAX = 1_000;

/** Both services, to be added to a server with `reflectionHandlers`. */
export const REFLECTION_SERVICES: readonly ServiceDefinition[] = [
  ServerReflectionService,
  {
    serverReflectionInfo: {
      ...ServerReflectionService.serverReflectionInfo,
      path: "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    },
  },
];

export function reflectionHandlers(): ServerReflectionServer {
  const catalog = new Catalog(Buffer.from(FILE_DESCRIPTOR_SET, "base64"));
  return {
    serverReflectionInfo: (stream: Stream) => {
      let asked = 0;
      stream.on("data", (request: ServerReflectionRequest) => {
        if (++asked > QUESTIONS_MAX) stream.destroy();
        else stream.write(answerTo(catalog, request));
      });
      stream.on("end", () => stream.end());
    },
  };
}

function answerTo(catalog: Catalog, request: ServerReflectionRequest): ServerReflectionResponse {
  return {
    validHost: request.host,
    originalRequest: request,
    messageResponse: answerOf(catalog, request.messageRequest),
  };
}

function answerOf(catalog: Catalog, question: ServerReflectionRequest["messageRequest"]): Answer {
  switch (question?.$case) {
    case "listServices": {
      const service = catalog.services.map((name) => ({ name }));
      return { $case: "listServicesResponse", value: { service } };
    }
    case "fileByFilename":
      return filesOrError(catalog.closureOf(question.value), question.value);
    case "fileContainingSymbol":
      return filesOrError(catalog.closureOfSymbol(question.value), question.value);
    case "fileContainingExtension":
      return notFound(`${question.value.containingType} has no extensions here`);
    case "allExtensionNumbersOfType": {
      const { value } = question;
      if (catalog.closureOfSymbol(value) === null) return notFound(`${value} is unknown here`);
      const none = { baseTypeName: value, extensionNumber: [] };
      return { $case: "allExtensionNumbersResponse", value: none };
    }
    default: {
      const errorMessage = "the request asks nothing that this server knows";
      const value = { errorCode: status.INVALID_ARGUMENT, errorMessage };
      return { $case: "errorResponse", value };
    }
  }
}

function filesOrError(files: readonly Buffer[] | null, asked: string): Answer {
  if (files === null) return notFound(`${asked.slice(0, 200)} is unknown here`);
  return { $case: "fileDescriptorResponse", value: { fileDescriptorProto: [...files] } };
}

function notFound(errorMessage: string): Answer {
  return { $case: "errorResponse", value: { errorCode: status.NOT_FOUND, errorMessage } };
}

/** Files by name and by what they declare. */
class Catalog {
  readonly services: readonly string[];
  readonly #files: ReadonlyMap<string, FileDescriptorProto>;
  readonly #fileOfSymbol = new Map<string, string>();

  constructor(set: Uint8Array) {
    const { file } = fromBinary(FileDescriptorSetSchema, set);
    this.#files = new Map(file.map((one) => [one.name, one]));
    this.services = file.flatMap((one) => one.service.map(({ name }) => `${one.package}.${name}`));
    for (const one of file) this.#declare(one);
  }

  #declare(file: FileDescriptorProto): void {
    const declare = (scope: string, name: string) => {
      this.#fileOfSymbol.set(`${scope}.${name}`, file.name);
      return `${scope}.${name}`;
    };
    const declareMessages = (scope: string, messages: FileDescriptorProto["messageType"]) => {
      for (const message of messages) {
        const inner = declare(scope, message.name);
        for (const { name } of message.field) declare(inner, name);
        for (const { name } of message.enumType) declare(inner, name);
        declareMessages(inner, message.nestedType);
      }
    };
    declareMessages(file.package, file.messageType);
    for (const { name } of file.enumType) declare(file.package, name);
    for (const { name, method } of file.service) {
      const inner = declare(file.package, name);
      for (const rpc of method) declare(inner, rpc.name);
    }
  }

  closureOfSymbol(symbol: string): Buffer[] | null {
    const name = this.#fileOfSymbol.get(symbol);
    return name === undefined ? null : this.closureOf(name);
  }

  /** A file and all that it imports, each once; null where there is no such file. */
  closureOf(name: string): Buffer[] | null {
    if (!this.#files.has(name)) return null;
    const wanted = new Set([name]);
    // A set that grows while it is walked: whatever is added is visited, too.
    for (const one of wanted) {
      for (const imported of this.#files.get(one)?.dependency ?? []) wanted.add(imported);
    }
    return [...wanted].flatMap((one) => {
      const file = this.#files.get(one);
      return file ? [Buffer.from(toBinary(FileDescriptorProtoSchema, file))] : [];
    });
  }
}
