/** A job of 1,000 clips with 25 frames each as png: 25,000 files, through every call that shows it. */
import pino from "pino";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FarmClient } from "../../client/farm-client.js";
import { Job } from "../../proto/gen/renderfarm/v1/job.js";
import { ManualClock } from "../../shared/adapters/clock/manual-clock.js";
import { encodeJob } from "../../shared/adapters/grpc/job-codec.js";
import { MemoryJournal } from "../../shared/adapters/memory/memory-journal.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import { CLIPS_MAX } from "../../shared/farm/limits.js";
import type { BlobRef } from "../../shared/ports/blob-store.js";
import { createMemoryBlobs } from "../../test/golden/memory-blobs.js";
import { jobParameters, node } from "../../test/plan/farm-world.js";
import { type Coordinator, startCoordinator } from "../coordinator.js";
import { POLICY_DEFAULT } from "../shell/farm-loop.js";

const JOB = "0123456789abcdefghjkmnpqrs";
const FRAMES = 25;
/** What every gRPC client takes unless it is told otherwise. */
const MESSAGE_BYTES_DEFAULT = 4 * 1024 * 1024;

const clock = new ManualClock();
const blobs = createMemoryBlobs();
let coordinator: Coordinator;
let client: FarmClient;
let frame: BlobRef;

beforeAll(async () => {
  coordinator = await startCoordinator({
    ...{ listen: "127.0.0.1:0", journal: new MemoryJournal(), blobs, clock, wallMs: () => 1_000 },
    ...{ policy: POLICY_DEFAULT, log: pino({ enabled: false }) },
    onBroken: (error) => {
      throw error;
    },
  });
  client = new FarmClient(coordinator.address);
  frame = await blobs.put(`v1/${JOB}/0/out-1/frame-001.png`, new Uint8Array([1, 2, 3]));
  await coordinator.loop.dispatch({ kind: "node-joined", node: node("a") });
  await coordinator.loop.dispatch({
    kind: "job-created",
    job: {
      ...{
        jobId: JOB,
        owner: "local",
        priority: 50,
        requestId: "",
        branchLatents: null,
        traceparent: null,
        preview: false,
        labels: {},
        requestDigest: "",
      },
      ...{ stepsTotal: 4, branch: null, startAfterMs: null, deadlineMs: null, dependsOn: [] },
      ...{ modelDigest: node("a").model.digest, modelName: "demo" },
      parameters: { ...jobParameters, numFrames: FRAMES, decodeChunkSize: FRAMES, pair: "never" },
      images: Array.from({ length: CLIPS_MAX }, () => frame),
    },
  });
  await renderAll();
}, 120_000);

afterAll(async () => {
  client.close();
  const stopped = coordinator.stop();
  clock.advance(60_000);
  await stopped;
});

/** The one node finishes whatever it is granted. */
async function renderAll(): Promise<void> {
  const { loop } = coordinator;
  const outputs = Array.from({ length: FRAMES }, (_, i) => ({
    format: "png" as const,
    fileName: `frame-${String(i + 1).padStart(3, "0")}.png`,
    blob: frame,
  }));
  for (;;) {
    const { gpuTaskId, muxTaskId } = loop.farm.nodes.get("a")!;
    const held = [gpuTaskId, muxTaskId].filter((taskId) => taskId !== null);
    if (held.length === 0) break;
    for (const taskId of held) {
      const { epoch, stage } = loop.farm.tasks.get(taskId)!;
      const result = {
        ...{ blob: stage === "mux" ? null : frame, outputs: stage === "mux" ? outputs : [] },
        ...{ seconds: 1, secondsPerStep: 0.5 },
      };
      await loop.dispatch({ kind: "task-finished", taskId, nodeId: "a", epoch, result });
    }
  }
}

const sizeOf = (job: JobView) => Job.encode(encodeJob(job)).finish().length;

test("is watched to its end, in messages that every client takes", async () => {
  let last: JobView | null = null;
  for await (const job of client.watchJob(JOB, AbortSignal.timeout(60_000))) last = job;
  expect(last?.state).toBe("succeeded");
  expect(sizeOf(last!)).toBeLessThan(MESSAGE_BYTES_DEFAULT);
});

test("is got and listed; each clip says how many files it has", async () => {
  const job = await client.getJob(JOB);
  expect(job.clips).toHaveLength(CLIPS_MAX);
  expect(new Set(job.clips.map(({ outputCount }) => outputCount))).toEqual(new Set([FRAMES]));
  expect(job.clips[0]!.outputs).toEqual([]);
  expect((await client.listJobs()).jobs.map(({ jobId }) => jobId)).toEqual([JOB]);
});

test("its files are named clip by clip, and fetched", async () => {
  const clip = (await client.getJob(JOB)).clips[CLIPS_MAX - 1]!;
  const outputs = await client.outputsOf(JOB, clip);
  expect(outputs.map(({ fileName }) => fileName).at(-1)).toBe("frame-025.png");
  const pieces: Uint8Array[] = [];
  const signal = AbortSignal.timeout(60_000);
  for await (const piece of client.download(JOB, clip.index, outputs[0]!, signal)) {
    pieces.push(piece);
  }
  expect(Buffer.concat(pieces)).toEqual(Buffer.from([1, 2, 3]));
});

test("a job with more tasks than the farm takes is refused with the numbers", async () => {
  const { openJobCount, openTaskCount } = coordinator.loop.farm;
  expect([openJobCount, openTaskCount]).toEqual([0, 0]);
  const asked = client.dryRun({
    images: Array.from({ length: CLIPS_MAX }, () => frame),
    parameters: { ...jobParameters, numFrames: 256, decodeChunkSize: 1 },
    modelDigest: node("a").model.digest,
    requestId: "",
    options: JOB_OPTIONS_DEFAULT,
  });
  await expect(asked).rejects.toThrow(
    "[exhausted] the farm's jobs have 0 tasks and this one would add 259000; the farm takes 100000 " +
      "(3 a clip, and one for each decode chunk); send fewer clips, or try again later",
  );
});
