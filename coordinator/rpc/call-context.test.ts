/** @file The ids of a call, over both edges of a farm without keys; the door's own are in test/access. */
import { credentials, Metadata } from "@grpc/grpc-js";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { JobServiceClient } from "../../proto/gen/renderfarm/v1/job_service.js";
import { farmLog } from "../../shared/adapters/logs/farm-log.js";
import { type Gateway, startGateway } from "../../test/http/gateway.js";
import { PICTURE_HEAD } from "../../test/plan/picture-head.js";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

let gateway: Gateway;
let lines: string[];

beforeEach(async () => {
  lines = [];
  const destination = { write: (line: string) => void lines.push(line) };
  gateway = await startGateway({ log: farmLog({ name: "coordinator", destination }) });
});

/** The request id that a call of gRPC is answered with. */
function idOfAnswer(given: string): Promise<string> {
  const client = new JobServiceClient(gateway.coordinator.address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const metadata = new Metadata();
  if (given !== "") metadata.set("x-request-id", given);
  return new Promise((resolve) => {
    const call = client.getFarm({}, metadata, () => {});
    call.on("status", (status) => resolve(String(status.metadata.get("x-request-id")[0])));
  });
}

test("a call is answered with the request id that it came with, or with a new one", async () => {
  expect(await idOfAnswer("ticket-7")).toBe("ticket-7");
  expect(await idOfAnswer("")).toMatch(UUID);
  expect(await idOfAnswer("no id: it has spaces")).toMatch(UUID);
});

test("a job over HTTP is in the caller's trace, and the log names both by which it is found", async () => {
  const input = await gateway.json<{ blob: object }>("/v1/inputs", {
    ...{ method: "POST", body: PICTURE_HEAD },
  });
  const headers = { "x-request-id": "ticket-8", traceparent: TRACEPARENT };
  const made = await gateway.ask("/v1/jobs", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ images: [input.json.blob] }),
  });
  expect(made.headers["x-request-id"]).toBe("ticket-8");
  const [job] = gateway.loop.farm.jobs.values();
  expect(job?.traceparent).toBe(TRACEPARENT);
  const line = lines.map((text) => JSON.parse(text) as object).at(-1);
  expect(line).toMatchObject({
    ...{ msg: "job taken in", job_id: job?.jobId, request_id: "ticket-8", trace_id: TRACE },
  });
});

test("a traceparent that is none begins a trace of the job's own", async () => {
  const input = await gateway.json<{ blob: object }>("/v1/inputs", {
    ...{ method: "POST", body: PICTURE_HEAD },
  });
  const made = await gateway.ask("/v1/jobs", {
    method: "POST",
    headers: { "content-type": "application/json", traceparent: "00-nonsense" },
    body: JSON.stringify({ images: [input.json.blob] }),
  });
  expect(made.status).toBe(200);
  const [job] = gateway.loop.farm.jobs.values();
  expect(job?.traceparent).toBeNull();
});
