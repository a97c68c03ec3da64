/** Both services over real gRPC on loopback: what a client and a node see of the coordinator. */
import { once } from "node:events";
import {
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { JobOptions, RenderParameters } from "../../proto/gen/renderfarm/v1/job.js";
import {
  type CreateJobRequest,
  JobServiceClient,
  type WatchJobResponse,
} from "../../proto/gen/renderfarm/v1/job_service.js";
import {
  type ConnectRequest,
  type ConnectResponse,
  NodeServiceClient,
} from "../../proto/gen/renderfarm/v1/node_service.js";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { decodeBlobRef } from "../../shared/adapters/grpc/blob-codec.js";
import type { NodeIdentity, NodeMessage } from "../../shared/adapters/grpc/node-codec.js";
import { decodeNodeOrder, encodeNodeMessage } from "../../shared/adapters/grpc/node-codec.js";
import { fromServiceError } from "../../shared/adapters/grpc/status.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import type { TaskReport } from "../../shared/farm/work.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { PICTURE_HEAD } from "../../test/plan/picture-head.js";
import { type Coordinator, startCoordinator } from "../coordinator.js";
import { LEASE_MS } from "../plan/limits.js";
import { POLICY_DEFAULT } from "../shell/farm-loop.js";

const identity: NodeIdentity = {
  nodeId: "node-a",
  bootId: "b".repeat(26),
  model: {
    digest: "d".repeat(64),
    name: "demo",
    numFrames: 14,
    sampleSize: 16,
    vaeScaleFactor: 4,
    latentChannels: 4,
    numTrainTimesteps: 1000,
    stepRule: "as-asked",
  },
  provider: "cpu",
  planHash: "e".repeat(64),
  ...{ busAddress: "127.0.0.1:9", busToken: "secret" },
  hasFfmpeg: true,
  ...{ memoryBytes: 16 * 2 ** 30, prefers: "any" },
};

let clock: ManualClock;
let coordinator: Coordinator;
let jobs: JobServiceClient;
let nodes: NodeServiceClient;

beforeEach(async () => {
  clock = new ManualClock();
  coordinator = await startCoordinator({
    listen: "127.0.0.1:0",
    journal: new MemoryJournal(),
    blobs: createMemoryBlobs(),
    clock,
    wallMs: () => 1_000,
    policy: POLICY_DEFAULT,
    log: pino({ enabled: false }),
    onBroken: (error) => {
      throw error;
    },
  });
  jobs = new JobServiceClient(coordinator.address, credentials.createInsecure());
  nodes = new NodeServiceClient(coordinator.address, credentials.createInsecure());
});

afterEach(async () => {
  jobs.close();
  nodes.close();
  const stopped = coordinator.stop();
  clock.advance(60_000);
  await stopped;
});

/** One unary call as a promise; its error is the FarmError that a client of ours would see. */
function call<Q, A>(method: string, request: Q): Promise<A> {
  return new Promise((resolve, reject) => {
    const methods = jobs as unknown as Record<
      string,
      (q: Q, cb: (e: ServiceError | null, a: A) => void) => void
    >;
    methods[method]!.call(jobs, request, (error, answer) => {
      if (error) reject(fromServiceError(error));
      else resolve(answer);
    });
  });
}

function upload(bytes: Uint8Array): Promise<{ blob: CreateJobRequest["images"][number] }> {
  return new Promise((resolve, reject) => {
    const stream = jobs.uploadInput((error, answer) => {
      if (error) reject(fromServiceError(error));
      else resolve({ blob: answer.blob! });
    });
    if (bytes.length > 0) stream.write({ piece: Buffer.from(bytes) });
    stream.end();
  });
}

const request = (change: Partial<CreateJobRequest> = {}): CreateJobRequest => ({
  images: [],
  parameters: undefined,
  modelDigest: "",
  requestId: "",
  options: undefined,
  validateOnly: false,
  ...change,
});

type NodeStream = ClientDuplexStream<ConnectRequest, ConnectResponse>;
const say = (stream: NodeStream, message: NodeMessage) => stream.write(encodeNodeMessage(message));
const nextOrder = async (stream: NodeStream) => {
  const [wire] = (await once(stream, "data")) as [ConnectResponse];
  return decodeNodeOrder(wire);
};

/** A stream whose end is no error of the test: each test looks at the end that it means. */
function openStream(): NodeStream {
  return nodes.connect().on("error", () => {});
}

async function joinedNode(change: Partial<NodeIdentity> = {}): Promise<NodeStream> {
  const stream = openStream();
  say(stream, { kind: "hello", identity: { ...identity, ...change } });
  expect(await nextOrder(stream)).toMatchObject({ kind: "welcome", leaseMs: LEASE_MS });
  return stream;
}

async function createdJob() {
  const { blob } = await upload(Buffer.from(PICTURE_HEAD));
  const { job } = await call<CreateJobRequest, { job: { jobId: string } }>(
    "createJob",
    request({ images: [blob], requestId: "once" }),
  );
  return { jobId: job.jobId, blob };
}

describe("a node", () => {
  test("says hello, is welcomed, is given the work of a new job, and its result moves the job on", async () => {
    const node = await joinedNode();
    const order = nextOrder(node);
    const { jobId } = await createdJob();
    const assigned = await order;
    expect(assigned).toMatchObject({
      kind: "assign",
      assignment: { taskId: `${jobId}-0-condition`, epoch: 1, work: { stage: "condition" } },
    });
    const denoise = nextOrder(node);
    const blob = { key: "v1/x/conditioning", sha256: "0".repeat(64), size: 3 };
    say(node, {
      kind: "report",
      taskId: `${jobId}-0-condition`,
      epoch: 1,
      report: { kind: "finished", result: { blob, outputs: [], seconds: 1, secondsPerStep: 0 } },
    });
    expect(await denoise).toMatchObject({
      assignment: { work: { stage: "denoise", conditioning: blob } },
    });
    node.cancel();
  });

  test.each([
    ["that says nothing", () => clock.advance(5_000)],
    ["that begins with something else", (s: NodeStream) => say(s, { kind: "heartbeat" })],
  ])("%s is turned away", async (_name, act) => {
    const stream = openStream();
    const ended = once(stream, "error") as Promise<[ServiceError]>;
    // The call reaches the server before its clock moves: a unary call on the same channel follows it.
    await call("getFarm", {});
    act(stream);
    const [error] = await ended;
    expect(error.code).toBe(status.ABORTED);
    expect(error.details).toMatch(/hello/);
  });

  test("with a field that is not what it must be is told which", async () => {
    const stream = openStream();
    const ended = once(stream, "error") as Promise<[ServiceError]>;
    say(stream, { kind: "hello", identity: { ...identity, nodeId: "../etc" } });
    const [error] = await ended;
    expect(error.code).toBe(status.INVALID_ARGUMENT);
    expect(error.details).toMatch(/node_id/);
  });

  test("that opens a second stream loses the first", async () => {
    const first = await joinedNode();
    const ended = once(first, "error") as Promise<[ServiceError]>;
    const second = await joinedNode();
    const [error] = await ended;
    expect(error.details).toMatch(/newer stream/);
    expect(coordinator.loop.farm.nodes.has("node-a")).toBe(true);
    second.end();
  });
});

describe("a client", () => {
  test("is told of every wrong field at once", async () => {
    const node = await joinedNode();
    const { blob } = await upload(Buffer.from(PICTURE_HEAD));
    const bad = request({
      images: [blob],
      parameters: RenderParameters.fromPartial({ height: 65, fps: 0 }),
    });
    await expect(call("createJob", bad)).rejects.toMatchObject({
      code: "invalid-argument",
      violations: [
        { field: "parameters.height", description: expect.stringContaining("65") },
        { field: "parameters.fps", description: expect.stringContaining("0") },
      ],
    });
    node.end();
  });

  test("gets the same job for the same request id", async () => {
    const node = await joinedNode();
    const { jobId, blob } = await createdJob();
    const again = await call<CreateJobRequest, { job: { jobId: string } }>(
      "createJob",
      request({ images: [blob], requestId: "once" }),
    );
    expect(again.job.jobId).toBe(jobId);
    node.end();
  });

  test.each([
    ["a job that is not there", "getJob", { jobId: "x" }, "not-found"],
    ["the end of a job that is not there", "cancelJob", { jobId: "x" }, "not-found"],
    ["a job while no node is connected", "createJob", request(), "unreachable"],
  ])("asks for %s in vain", async (_name, method, query, code) => {
    await expect(call(method, query)).rejects.toMatchObject({ code });
  });

  test("learns what would become of a job, and none is made", async () => {
    const node = await joinedNode();
    const image = { key: `v1/inputs/${"a".repeat(26)}`, sha256: "0".repeat(64), size: 1n };
    const answer = await call("createJob", request({ images: [image], validateOnly: true }));
    expect(answer).toMatchObject({
      job: undefined,
      dryRun: {
        nodes: [{ nodeId: "node-a", whyNot: "" }],
        plan: "single",
        clips: 1,
        chunksPerClip: 1,
        etaSeconds: undefined,
        whyNotNow: [],
        parameters: { numFrames: 14 },
      },
    });
    expect(coordinator.loop.farm.jobs.size).toBe(0);
    node.end();
  });

  test("pauses, resumes, moves, cancels, retries, lists and deletes a job", async () => {
    const node = await joinedNode();
    const { jobId } = await createdJob();
    const state = async (method: string, change = {}) =>
      (await call<object, { job: { state: string } }>(method, { jobId, ...change })).job.state;
    expect(await state("pauseJob")).toBe("JOB_STATE_PAUSED");
    expect(await state("resumeJob")).toBe("JOB_STATE_RUNNING");
    expect(await state("setJobPriority", { priority: 80 })).toBe("JOB_STATE_RUNNING");
    await expect(call("setJobPriority", { jobId, priority: 101 })).rejects.toMatchObject({
      violations: [{ field: "priority" }],
    });
    await expect(call("deleteJob", { jobId })).rejects.toMatchObject({ code: "wrong-state" });
    expect(await state("cancelJob")).toBe("JOB_STATE_CANCELLED");
    await expect(call("pauseJob", { jobId })).rejects.toMatchObject({ code: "wrong-state" });
    expect(await state("retryJob")).toBe("JOB_STATE_RUNNING");
    await state("cancelJob");
    const all = { pageSize: 0, pageToken: "", states: [], labelSelector: "" };
    expect(await call("listJobs", all)).toMatchObject({ jobs: [{ jobId }], nextPageToken: "" });
    await call("deleteJob", { jobId });
    expect(await call("listJobs", all)).toMatchObject({ jobs: [] });
    node.end();
  });

  test("lists jobs page by page, the newest first", async () => {
    const node = await joinedNode();
    const { blob } = await upload(Buffer.from(PICTURE_HEAD));
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) {
      const made = await call<object, { job: { jobId: string } }>(
        "createJob",
        request({ images: [blob] }),
      );
      ids.unshift(made.job.jobId);
    }
    const page = (pageToken: string) =>
      call<object, { jobs: { jobId: string }[]; nextPageToken: string }>("listJobs", {
        pageSize: 2,
        pageToken,
        states: [],
        labelSelector: "",
      });
    const first = await page("");
    const second = await page(first.nextPageToken);
    expect([...first.jobs, ...second.jobs].map((job) => job.jobId)).toEqual(ids);
    expect(second.nextPageToken).toBe("");
    await expect(page("nonsense")).rejects.toMatchObject({ violations: [{ field: "page_token" }] });
    node.end();
  });

  test("branches from a kept step of an earlier clip, with other guidance", async () => {
    const node = await joinedNode();
    // The coordinator takes a node's messages in order, so its answer to the last follows them all.
    const answered = new Promise<void>((resolve) => {
      node.on("data", (wire: ConnectResponse) => {
        if (decodeNodeOrder(wire).kind === "heartbeat-ack") resolve();
      });
    });
    const { jobId, blob } = await createdJob();
    const { blob: latents } = await upload(Buffer.from("latents of step 2"));
    const result = { blob: decodeBlobRef(blob, "b"), outputs: [], seconds: 1, secondsPerStep: 0 };
    const report = (stage: string, of: TaskReport) =>
      say(node, { kind: "report", taskId: `${jobId}-0-${stage}`, epoch: 1, report: of });
    report("condition", { kind: "finished", result });
    const checkpoint = { step: 2, blob: decodeBlobRef(latents, "l") };
    report("denoise", { kind: "checkpointed", checkpoint });
    say(node, { kind: "heartbeat" });
    await answered;
    const branchAt = (step: number, height?: number) =>
      call<CreateJobRequest, { job: { jobId: string } }>(
        "createJob",
        request({
          images: [blob],
          parameters: RenderParameters.fromPartial({ maxGuidanceScale: 1.5, height }),
          options: JobOptions.fromPartial({ branch: { jobId, clipIndex: 0, step } }),
        }),
      );
    await expect(branchAt(3, 128)).rejects.toMatchObject({
      violations: [
        { field: "parameters.height" },
        { field: "options.branch.step", description: expect.stringContaining("kept are 2") },
      ],
    });
    const { job } = await branchAt(2);
    const denoise = coordinator.loop.farm.tasks.get(`${job.jobId}-0-denoise`);
    expect(denoise?.checkpoint).toMatchObject({ step: 2, blob: { sha256: latents!.sha256 } });
    expect(denoise?.checkpoint?.blob.key).not.toBe(latents!.key);
    node.end();
  });

  test("drains a node and lets it work again", async () => {
    const node = await joinedNode();
    const drained = await call("drainNode", { nodeId: "node-a" });
    expect(drained).toMatchObject({ node: { refusal: "draining", connected: true } });
    const back = await call("undrainNode", { nodeId: "node-a" });
    expect(back).toMatchObject({ node: { refusal: "" } });
    await expect(call("drainNode", { nodeId: "nobody" })).rejects.toMatchObject({
      code: "not-found",
    });
    node.end();
  });

  test("cannot name a blob that is no input", async () => {
    const node = await joinedNode();
    const blob = { key: "v1/secret/latents", sha256: "0".repeat(64), size: 1n };
    await expect(call("createJob", request({ images: [blob] }))).rejects.toMatchObject({
      code: "invalid-argument",
      detail: expect.stringContaining("UploadInput"),
    });
    node.end();
  });

  test("cannot upload nothing", async () => {
    await expect(upload(new Uint8Array())).rejects.toMatchObject({ code: "invalid-argument" });
  });

  test("watches a job to its end, here a cancellation", async () => {
    const node = await joinedNode();
    const { jobId } = await createdJob();
    const watch: ClientReadableStream<WatchJobResponse> = jobs.watchJob({ jobId });
    const states: string[] = [];
    watch.on("data", (message: WatchJobResponse) => states.push(message.job!.state));
    await once(watch, "data");
    const ended = once(watch, "end");
    await call("cancelJob", { jobId });
    await ended;
    expect(states).toEqual(["JOB_STATE_RUNNING", "JOB_STATE_CANCELLED"]);
    await expect(call("cancelJob", { jobId })).resolves.toMatchObject({
      job: { state: "JOB_STATE_CANCELLED" },
    });
    node.end();
  });
});
