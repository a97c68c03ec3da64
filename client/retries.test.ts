/** Calls that a farm could not take: made again where that is safe, over real gRPC on loopback. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { JobServiceService } from "../proto/gen/renderfarm/v1/job_service.js";
import { toServiceError } from "../shared/adapters/grpc/status.js";
import { FarmError } from "../shared/core/errors.js";
import { FarmClient } from "./farm-client.js";

const JOB = "0123456789abcdefghjkmnpqrs";

let server: Server;
let client: FarmClient;
/** Refusals still to come, and calls so far. */
let refusals: Error[];
let calls: number;

type Done = (error: Error | null, answer?: object) => void;

beforeAll(async () => {
  server = new Server();
  const answer = (_call: unknown, done: Done) => {
    calls += 1;
    const refusal = refusals.shift();
    if (refusal) done(refusal);
    else done(null, { models: [], nodes: [], usageByOwner: [], usageByStage: [] });
  };
  const names = Object.keys(JobServiceService) as (keyof typeof JobServiceService)[];
  const handlers = Object.fromEntries(names.map((name) => [name, answer]));
  server.addService(JobServiceService, handlers as never);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  client = new FarmClient(`127.0.0.1:${port}`);
});

afterAll(() => {
  client.close();
  server.forceShutdown();
});

beforeEach(() => {
  [refusals, calls] = [[], 0];
});

const away = () => toServiceError(new FarmError("unreachable", "a new coordinator begins"));

test("a farm that is away for a moment is asked again, three times at most", async () => {
  refusals = [away(), away(), away()];
  expect(await client.getFarm()).toMatchObject({ nodes: [] });
  expect(calls).toBe(4);

  calls = 0;
  refusals = [away(), away(), away(), away()];
  await expect(client.getFarm()).rejects.toMatchObject({ code: "unreachable" });
  expect(calls).toBe(4);
});

test("a refusal is not asked again", async () => {
  refusals = [toServiceError(new FarmError("exhausted", "the farm is full"))];
  await expect(client.getFarm()).rejects.toMatchObject({ code: "exhausted" });
  expect(calls).toBe(1);
});

test("nor is a call whose second try would find its work done", async () => {
  refusals = [away()];
  await expect(client.deleteJob(JOB)).rejects.toMatchObject({ code: "unreachable" });
  expect(calls).toBe(1);
});

test("every call that may be repeated is one that there is", async () => {
  const { clientOptions } = await import("../shared/adapters/grpc/connection-options.js");
  const { methodConfig } = JSON.parse(clientOptions["grpc.service_config"]) as {
    methodConfig: { name: { service: string; method: string }[] }[];
  };
  const paths = new Set<string>(Object.values(JobServiceService).map(({ path }) => path));
  const named = methodConfig.flatMap(({ name }) => name);
  expect(
    named.map(({ service, method }) => `/${service}/${method}`).filter((p) => !paths.has(p)),
  ).toEqual([]);
});
