import { expect, test } from "vitest";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { Journal } from "../../shared/ports/journal.js";
import type { NodeInfo } from "../plan/node.js";
import { decodeEvent, encodeEvent } from "./event-codec.js";
import type { OutsideEffect } from "./farm-loop.js";
import { FarmLoop, POLICY_DEFAULT } from "./farm-loop.js";

/** A journal in memory whose appends resolve only when the test says so. */
class HeldJournal implements Journal {
  readonly records: string[] = [];
  #release: (() => void)[] = [];
  held = false;

  async *read(): AsyncGenerator<string> {
    yield* [...this.records];
  }
  async append(records: readonly string[]): Promise<void> {
    if (this.held) await new Promise<void>((resolve) => this.#release.push(resolve));
    this.records.push(...records);
  }
  release(): void {
    for (const go of this.#release.splice(0)) go();
  }
  async close(): Promise<void> {}
}

const node: NodeInfo = {
  nodeId: "a",
  bootId: "boot",
  model: {
    digest: "d",
    name: "demo",
    numFrames: 14,
    sampleSize: 16,
    vaeScaleFactor: 4,
    latentChannels: 4,
    numTrainTimesteps: 1000,
  },
  provider: "cpu",
  planHash: "p",
  busAddress: "a:1",
  busToken: "t",
  hasFfmpeg: true,
};
const parameters: JobParameters = {
  height: 64,
  width: 64,
  numFrames: 2,
  numInferenceSteps: 4,
  sigmas: null,
  minGuidanceScale: 1,
  maxGuidanceScale: 3,
  fps: 7,
  motionBucketId: 127,
  noiseAugStrength: 0.02,
  decodeChunkSize: 2,
  numVideosPerPrompt: 1,
  seeds: [2n ** 64n - 1n],
  latents: null,
  formats: ["gif"],
  pair: "auto",
};
const jobCreated = {
  kind: "job-created",
  job: {
    jobId: "j",
    parameters,
    images: [{ key: "v1/inputs/x", sha256: "0", size: 1 }],
    modelDigest: "d",
    modelName: "demo",
    requestId: "once",
    branchLatents: null,
    ...JOB_OPTIONS_DEFAULT,
  },
} as const;

async function startedLoop(journal = new HeldJournal()) {
  const effects: OutsideEffect[] = [];
  const loop = new FarmLoop(journal, () => 7, POLICY_DEFAULT);
  await loop.start((effect) => effects.push(effect));
  return { loop, journal, effects };
}

test("nothing leaves before the journal has the events, grants included", async () => {
  const { loop, journal, effects } = await startedLoop();
  await loop.dispatch({ kind: "node-joined", node });
  journal.held = true;
  const accepted = loop.dispatch(jobCreated);
  await Promise.resolve();
  expect(effects).toEqual([]);
  journal.release();
  await accepted;
  expect(effects.map((e) => e.kind)).toEqual(["assign"]);
  expect(journal.records.map((r) => decodeEvent(r).kind).slice(-2)).toEqual([
    "job-created",
    "task-granted",
  ]);
});

test("a restart is a replay: the same farm, and what ran is ready again", async () => {
  const first = await startedLoop();
  await first.loop.dispatch({ kind: "node-joined", node });
  await first.loop.dispatch(jobCreated);
  const again = await startedLoop(first.journal);
  expect(again.loop.farm.jobs).toEqual(first.loop.farm.jobs);
  expect(again.loop.farm.tasks.get("j-0-condition")).toMatchObject({
    state: { kind: "ready" },
    epoch: 1,
  });
  expect(again.effects).toEqual([]);
  await again.loop.dispatch({ kind: "node-joined", node: { ...node, bootId: "next" } });
  expect(again.effects).toMatchObject([{ kind: "assign", assignment: { epoch: 2 } }]);
});

test("a request id names one job, however often it is sent", async () => {
  const { loop } = await startedLoop();
  await loop.dispatch(jobCreated);
  await loop.dispatch({ ...jobCreated, job: { ...jobCreated.job, jobId: "other" } });
  expect([...loop.farm.jobs.keys()]).toEqual(["j"]);
});

test("watchers see changes and progress, and progress of an older epoch is nothing", async () => {
  const { loop } = await startedLoop();
  await loop.dispatch({ kind: "node-joined", node });
  await loop.dispatch(jobCreated);
  const seen: JobView[] = [];
  const unwatch = loop.watch("j", (job) => seen.push(job));
  const result = {
    blob: { key: "k", sha256: "0", size: 1 },
    outputs: [],
    seconds: 1,
    secondsPerStep: 0,
  };
  await loop.dispatch({
    kind: "task-finished",
    taskId: "j-0-condition",
    nodeId: "a",
    epoch: 1,
    result,
  });
  loop.reportProgress("j-0-denoise", { epoch: 1, stepsDone: 3, secondsPerStep: 0.5 });
  loop.reportProgress("j-0-denoise", { epoch: 0, stepsDone: 9, secondsPerStep: 0.5 });
  expect(seen.map((job) => job.clips[0]?.stepsDone)).toEqual([0, 3]);
  unwatch();
  loop.reportProgress("j-0-denoise", { epoch: 1, stepsDone: 4, secondsPerStep: 0.5 });
  expect(seen).toHaveLength(2);
});

test("64-bit seeds survive the journal", () => {
  const event = { ...jobCreated, atMs: 1 };
  expect(decodeEvent(encodeEvent(event))).toEqual(event);
});
