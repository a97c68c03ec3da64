/**
 * @file One trace a job, over real processes: from the client's span to that of every task on the node
 * that did it, with the halves of a pair linked to each other; by sockets and by NATS.
 */
import { readFileSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";
import type { FarmClient } from "../../client/farm-client.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import { OtlpReceiver } from "../servers/otlp-receiver.js";
import { NatsFarm } from "../transport/nats-farm.js";
import { CLIP, hashesOf, PICTURE, startFarm, TestFarm } from "./farm-harness.js";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN = "00f067aa0ba902b7";
const CLIENT = `00-${TRACE}-${CLIENT_SPAN}-01`;
/** A pair, four frames in two chunks, few steps. */
const SMALL = { ...CLIP, numInferenceSteps: 3, pair: "always" as const };

async function receiverOf(variable: string): Promise<OtlpReceiver> {
  const receiver = await OtlpReceiver.start();
  process.env[variable] = receiver.endpoint;
  onTestFinished(async () => {
    delete process.env[variable];
    await receiver.stop();
  });
  return receiver;
}

async function submit(client: FarmClient, traceparent?: string): Promise<JobView> {
  const image = await client.upload(readFileSync(PICTURE));
  const job = { images: [image], parameters: SMALL, modelDigest: "", requestId: "" };
  return client.createJob({ ...job, options: JOB_OPTIONS_DEFAULT }, undefined, traceparent);
}

function expectOneTrace({ spans }: OtlpReceiver, job: JobView): void {
  expect(spans.map(({ name }) => name).sort()).toEqual(
    ["condition", "decode", "decode", "denoise", "denoise", "job", "mux", "queued"].sort(),
  );
  const root = spans.find(({ name }) => name === "job")!;
  expect(root).toMatchObject({ parentSpanId: CLIENT_SPAN, service: "renderfarm-coordinator" });
  for (const span of spans) {
    expect(span).toMatchObject({ traceId: TRACE, failure: "" });
    expect(span.facts).toMatchObject({ "renderfarm.job_id": job.jobId });
    if (span !== root) expect(span.parentSpanId, span.name).toBe(root.spanId);
    if (span.name !== "denoise") expect(span.links).toEqual([]);
  }
  const halves = spans.filter(({ name }) => name === "denoise");
  const [a, b] = halves;
  expect(halves.map(({ facts }) => facts["renderfarm.half"]).sort()).toEqual(["cond", "uncond"]);
  expect([a?.links, b?.links]).toEqual([[b?.spanId], [a?.spanId]]);
  const where = halves.map(({ facts }) => facts["renderfarm.node_id"]).sort();
  expect(where).toEqual(
    [...job.clips[0]!.stages.find((s) => s.stage === "denoise")!.nodeIds].sort(),
  );
  for (const { facts, service } of halves) {
    expect(service).toBe("renderfarm-gpu-node");
    const isFinished = facts["renderfarm.outcome"] === "finished";
    expect(facts["renderfarm.steps"]).toBeGreaterThanOrEqual(isFinished ? 3 : 2);
  }
  // The coordinator takes the result of whoever is done first.
  const outcomes = halves.map(({ facts }) => String(facts["renderfarm.outcome"]));
  expect(outcomes).toContain("finished");
  expect(outcomes.every((outcome) => /^(finished|cancelled)$/.test(outcome))).toBe(true);
}

test("two nodes on sockets: the job of a client's trace is one trace, its halves linked", async () => {
  const receiver = await receiverOf("OTEL_EXPORTER_OTLP_ENDPOINT");
  const farm = await startFarm(2);
  const { jobId } = await submit(farm.client, CLIENT);
  const job = await farm.follow(jobId).end();
  hashesOf(job);
  await vi.waitFor(() => expect(receiver.spans).toHaveLength(8), { timeout: 20_000 });
  expectOneTrace(receiver, job);
});

test("two nodes on NATS: the same", async () => {
  const receiver = await receiverOf("OTEL_EXPORTER_OTLP_ENDPOINT");
  const farm = await NatsFarm.start();
  onTestFinished(() => farm.stop());
  farm.explainFailure();
  const coordinator = await farm.startCoordinator();
  await Promise.all(["node-a", "node-b"].map((nodeId) => farm.startNode(nodeId)));
  await farm.nodesJoined(2, coordinator);
  const { jobId } = await submit(coordinator.client, CLIENT);
  const job = await farm.ended(jobId);
  hashesOf(job);
  await vi.waitFor(() => expect(receiver.spans).toHaveLength(8), { timeout: 20_000 });
  expectOneTrace(receiver, job);
});

test("without OTEL_EXPORTER_OTLP_ENDPOINT nothing is sent, whatever else is set", async () => {
  const receiver = await receiverOf("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
  const farm = await TestFarm.start(2);
  try {
    const { jobId } = await submit(farm.client, CLIENT);
    hashesOf(await farm.follow(jobId).end());
  } finally {
    // What is left to be sent is sent when a process ends.
    await farm.stop();
  }
  expect(receiver.requests).toBe(0);
});
