import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  credentials,
  makeGenericClientConstructor,
  Server,
  ServerCredentials,
} from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type {
  ServerReflectionClient,
  ServerReflectionRequest,
  ServerReflectionResponse,
} from "../../proto/gen/grpc/reflection/v1/reflection.js";
import { REFLECTION_SERVICES, reflectionHandlers } from "./reflection.js";

let server: Server;
let address: string;
beforeAll(async () => {
  server = new Server();
  for (const service of REFLECTION_SERVICES)
    server.addService(service, { ...reflectionHandlers() });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  address = `127.0.0.1:${port}`;
});
afterAll(() => server.forceShutdown());

type Question = ServerReflectionRequest["messageRequest"];

/** Asks all questions on one stream; the answers come in their order. */
async function ask(version: number, ...questions: Question[]) {
  const Client = makeGenericClientConstructor(REFLECTION_SERVICES[version]!, "reflection");
  const client = new Client(address, credentials.createInsecure());
  const stream = (client as unknown as ServerReflectionClient).serverReflectionInfo();
  try {
    for (const messageRequest of questions) stream.write({ host: "here", messageRequest });
    stream.end();
    const answers: ServerReflectionResponse["messageResponse"][] = [];
    for await (const {
      messageResponse,
      validHost,
    } of stream as AsyncIterable<ServerReflectionResponse>) {
      expect(validHost).toBe("here");
      answers.push(messageResponse);
    }
    return answers;
  } finally {
    client.close();
  }
}

function fileNames(answer: ServerReflectionResponse["messageResponse"]): string[] {
  if (answer?.$case !== "fileDescriptorResponse") return [];
  return answer.value.fileDescriptorProto.map(
    (bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name,
  );
}

describe.each([
  ["v1", 0],
  ["v1alpha", 1],
])("reflection %s", (_, version) => {
  test("lists the services", async () => {
    const [answer] = await ask(version, { $case: "listServices", value: "" });
    const names =
      answer?.$case === "listServicesResponse" ? answer.value.service.map(({ name }) => name) : [];
    expect(names.sort()).toEqual([
      "grpc.health.v1.Health",
      "grpc.reflection.v1.ServerReflection",
      "renderfarm.v1.JobService",
      "renderfarm.v1.NodeService",
    ]);
  });

  test.each([
    "renderfarm.v1.JobService",
    "renderfarm.v1.JobService.CreateJob",
    "renderfarm.v1.DryRun.Node",
    "renderfarm.v1.CreateJobRequest.images",
  ])("finds the file of %s, with all that it imports", async (symbol) => {
    const [answer] = await ask(version, { $case: "fileContainingSymbol", value: symbol });
    const [first, ...imported] = fileNames(answer);
    expect(first).toBe("renderfarm/v1/job_service.proto");
    expect(imported).toEqual(
      expect.arrayContaining(["renderfarm/v1/job.proto", "google/protobuf/timestamp.proto"]),
    );
  });

  test("answers in order, and says what it does not know", async () => {
    const answers = await ask(
      version,
      { $case: "fileByFilename", value: "renderfarm/v1/blob.proto" },
      { $case: "fileByFilename", value: "no/such.proto" },
      { $case: "fileContainingSymbol", value: "no.Such" },
      { $case: "allExtensionNumbersOfType", value: "renderfarm.v1.Job" },
      undefined,
    );
    expect(fileNames(answers[0])).toEqual(["renderfarm/v1/blob.proto"]);
    const codes = answers.map((a) => (a?.$case === "errorResponse" ? a.value.errorCode : 0));
    expect(codes).toEqual([0, 5, 5, 0, 3]);
  });
});
