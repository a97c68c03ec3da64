import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { FarmClient } from "../client/farm-client.js";
import { type ClipView, JOB_OPTIONS_DEFAULT, type JobView } from "../shared/farm/job.js";
import type { Output } from "../shared/farm/work.js";
import { jobParameters } from "../test/plan/farm-world.js";
import { JobFailure } from "./failures.js";
import { lineProgress } from "./progress.js";
import { finishJob } from "./render-job.js";

const output: Output = {
  format: "gif",
  fileName: "clip.gif",
  blob: { key: "k", sha256: "0".repeat(64), size: 3 },
};

/** A clip that succeeded, or failed for the reason given. */
const clip = (index: number, reason: string | null): ClipView => ({
  ...{ index, imageIndex: index, stepsDone: 1, stepsTotal: 1, stepsKept: [] },
  ...{ chunksDone: 1, chunksTotal: 1, plan: "single", secondsPerStep: 1, stages: [] },
  state: reason === null ? "succeeded" : "failed",
  outputs: reason === null ? [output] : [],
  outputCount: reason === null ? 1 : 0,
  error: reason === null ? null : { code: "quarantined", detail: reason },
});

const job = (...reasons: (string | null)[]): JobView => ({
  ...{ jobId: "j", modelDigest: "d", modelName: "demo", createdAtMs: 0, startedAtMs: 0 },
  ...{ endedAtMs: 1, options: JOB_OPTIONS_DEFAULT, usage: { used: 0, wasted: 0 } },
  ...{ waitsFor: [], whyNotNow: [], run: 1, parameters: jobParameters },
  state: reasons.every((reason) => reason === null) ? "succeeded" : "failed",
  clips: reasons.map((reason, i) => clip(i, reason)),
});

/** A farm on which the job has ended. */
function clientOf(ended: JobView): FarmClient {
  const client: Pick<FarmClient, "watchJob" | "outputsOf" | "download"> = {
    async *watchJob() {
      yield ended;
    },
    outputsOf: async (_jobId, { outputs }) => outputs,
    async *download() {
      yield new TextEncoder().encode("gif");
    },
  };
  return client as FarmClient;
}

async function finish(ended: JobView) {
  const path = await mkdtemp(join(tmpdir(), "clips-"));
  onTestFinished(() => rm(path, { recursive: true }));
  const plan = { kind: "folder", path, clipCount: ended.clips.length } as const;
  const watching = { progress: lineProgress(() => {}), signal: new AbortController().signal };
  return { path, finished: finishJob(clientOf(ended), "j", plan, watching) };
}

test("the clips that succeeded are written; the failure names the others, each reason once", async () => {
  const { path, finished } = await finish(
    job("no room", null, "bad", "bad", "bad", null, "no room"),
  );
  const { files, failure } = await finished;
  expect((await readdir(path)).sort()).toEqual(["clip-002.gif", "clip-006.gif"]);
  expect(await readFile(join(path, "clip-002.gif"), "utf8")).toBe("gif");
  expect(files.map(({ clipIndexes }) => clipIndexes)).toEqual([[1], [5]]);
  expect(failure).toBeInstanceOf(JobFailure);
  expect(failure?.detail).toBe(
    "job j failed; clips 1, 7: no room; clips 3-5: bad; 2 of 7 clips are written",
  );
});

test("a job of which no clip succeeded is its failure, and nothing is written", async () => {
  const { path, finished } = await finish(job("bad"));
  await expect(finished).rejects.toThrow("[quarantined] job j failed; clip 1: bad");
  expect(await readdir(path)).toEqual([]);
});

test("a job that succeeded has no failure", async () => {
  const { finished } = await finish(job(null));
  expect((await finished).failure).toBeNull();
});
