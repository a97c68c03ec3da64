/** @file What users and operators ask for at the worst moment: one winner, the same bytes. */
import { readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { asFarmError } from "../../shared/core/errors.js";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import type { JobParameters } from "../../shared/farm/parameters.js";
import type { Stage } from "../../shared/farm/work.js";
import {
  CLIP,
  type FileHashes,
  isMidDenoise,
  PICTURE,
  stageOf,
  undisturbed,
} from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { TRIES_ALL } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 30 };
/** So many chunks that the first of them is not soon followed by the last. */
const MANY_CHUNKS = { ...PARAMETERS, numFrames: 14, decodeChunkSize: 1, numInferenceSteps: 2 };

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

const nodeIds = () => [...farm.nodes.keys()];

/** Stops the runtime children in whatever they do until the returned function is called. */
function holdRuntimes(): () => void {
  const pids = nodeIds().map((nodeId) => farm.runtimePid(nodeId));
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  return () => {
    for (const pid of pids) process.kill(pid, "SIGCONT");
  };
}

/** Every node has nothing to do, and can be had for a pair. */
async function expectAllFree(): Promise<void> {
  const { nodes } = await farm.client.getFarm();
  expect(nodes.map((node) => node.taskCount)).toEqual(nodeIds().map(() => 0));
  const job = await farm.render({ ...PARAMETERS, pair: "always" });
  expect(job.clips[0]!.plan).toBe("pair");
  expect(await farm.published(job)).toEqual(expected);
}

describe("cancel, twice at once", () => {
  /** "done", or why not. */
  const cancel = (jobId: string) =>
    farm.client.cancelJob(jobId).then(
      (job) => job.state,
      (error: unknown) => asFarmError(error).code,
    );

  const reaches: [stage: Stage | "queued", parameters: JobParameters][] = [
    ["queued", PARAMETERS],
    ["condition", PARAMETERS],
    ["denoise", PARAMETERS],
    ["decode", MANY_CHUNKS],
  ];
  test.each(reaches)("%s", async (stage, parameters) => {
    for (const nodeId of stage === "queued" ? nodeIds() : []) await farm.client.drainNode(nodeId);
    const release = stage === "condition" ? holdRuntimes() : () => {};
    const { jobId } = await farm.submit(parameters);
    const job = farm.follow(jobId);
    if (stage !== "queued") await job.until((state) => stageOf(state, stage) !== undefined);
    expect(await Promise.all([cancel(jobId), cancel(jobId)])).toEqual(["cancelled", "cancelled"]);
    release();

    const ended = await job.end();
    expect(ended).toMatchObject({ state: "cancelled", clips: [{ outputs: [] }] });
    for (const nodeId of nodeIds()) await farm.client.undrainNode(nodeId);
    await expectAllFree();
    expect(await farm.client.getJob(jobId)).toEqual(ended);
  });

  test("after each state that a watcher sees, up to the very end: one winner", async () => {
    const parameters = { ...PARAMETERS, numInferenceSteps: 2 };
    const whole = await farm.render(parameters);
    const hashes = await farm.published(whole);
    const ends = new Map<string, number>();
    for (let statesSeen = 1; (ends.get("succeeded") ?? 0) < 3; statesSeen++) {
      const { jobId } = await farm.submit(parameters);
      const job = farm.follow(jobId);
      let seen = 0;
      await job.until(() => ++seen >= statesSeen).catch(() => {}); // it ended before
      const answers = await Promise.all([cancel(jobId), cancel(jobId)]);
      const ended = await farm.follow(jobId).end();
      const won = ended.state === "succeeded" ? "wrong-state" : "cancelled";
      expect(answers).toEqual([won, won]);
      if (ended.state === "succeeded") expect(await farm.published(ended)).toEqual(hashes);
      expect(await farm.client.getJob(jobId)).toEqual(ended);
      ends.set(ended.state, (ends.get(ended.state) ?? 0) + 1);
    }
    expect(ends.get("cancelled")).toBeGreaterThan(5);
    await expectAllFree();
  });
});

describe("a job that is submitted more than once", () => {
  test("twenty times at once: one job", async () => {
    const image = await farm.client.upload(readFileSync(PICTURE));
    const request = {
      images: [image],
      parameters: PARAMETERS,
      modelDigest: "",
      requestId: "twenty-at-once",
      options: JOB_OPTIONS_DEFAULT,
    };
    const before = (await farm.client.listJobs({ size: 500 })).jobs.length;
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => farm.client.createJob(request)),
    );
    const jobIds = new Set(answers.map((job) => job.jobId));
    expect(jobIds.size).toBe(1);
    expect((await farm.client.listJobs({ size: 500 })).jobs).toHaveLength(before + 1);
    const [jobId] = jobIds;
    expect(await farm.published(await farm.follow(jobId!).end())).toEqual(expected);
  });

  test("again because the answer was lost: the same job", async () => {
    const requestId = "lost-answer";
    const sending = farm.front;
    const image = await farm.client.upload(readFileSync(PICTURE));
    const request = {
      images: [image],
      parameters: PARAMETERS,
      modelDigest: "",
      requestId,
      options: JOB_OPTIONS_DEFAULT,
    };
    const before = (await farm.client.listJobs({ size: 500 })).jobs.length;
    sending.set("down", { kind: "timeout" });
    const lost = sending.hit("timeout");
    const answer = farm.client.createJob(request).catch((error: unknown) => asFarmError(error));
    await lost; // the answer is there, and stays in the network
    sending.set("up", { kind: "reset_peer" });
    expect(await answer).toMatchObject({ code: "unreachable" });
    sending.heal();
    const again = await farm.client.createJob(request);
    expect((await farm.client.listJobs({ size: 500 })).jobs).toHaveLength(before + 1);
    expect(await farm.published(await farm.follow(again.jobId).end())).toEqual(expected);
  });
});

describe("what stops at a step boundary and goes on from there", () => {
  const isOver = (job: JobView) => job.clips.every((clip) => clip.stepsDone === clip.stepsTotal);

  test("pause lets another job have the nodes, resume goes on", async () => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "always" });
    const job = farm.follow(jobId);
    await job.until(isMidDenoise);
    expect((await farm.client.pauseJob(jobId)).state).toBe("paused");
    await farm.client.pauseJob(jobId);
    const other = await farm.render({ ...PARAMETERS, pair: "always" });
    expect(await farm.published(other)).toEqual(expected);
    const paused = await farm.client.getJob(jobId);
    expect(paused.state).toBe("paused");
    expect(isOver(paused)).toBe(false);
    await farm.client.resumeJob(jobId);
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(ended.usage.wasted).toBe(0);
  });

  test("drain hands the work to another node, and the node stays without", async () => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "never" });
    const job = farm.follow(jobId);
    const [drained] = stageOf(await job.until(isMidDenoise), "denoise")!.nodeIds;
    await farm.client.drainNode(drained!);
    const ended = await job.end();
    expect(await farm.published(ended)).toEqual(expected);
    expect(stageOf(ended, "denoise")!.nodeIds).toHaveLength(2);
    expect(ended.usage.wasted).toBe(0);

    const next = await farm.render(PARAMETERS);
    expect(await farm.published(next)).toEqual(expected);
    expect(next.clips[0]!.stages.flatMap((stage) => stage.nodeIds)).not.toContain(drained);
    await farm.client.undrainNode(drained!);
    await expectAllFree();
  });

  test("a more urgent job takes a node, and the lesser one loses nothing", async () => {
    const options = { priority: 10 };
    const submitted = await Promise.all(
      [1, 2].map(() => farm.submit({ ...PARAMETERS, pair: "never" }, { options })),
    );
    const lesser = submitted.map(({ jobId }) => farm.follow(jobId));
    await Promise.all(lesser.map((job) => job.until((state) => state.clips[0]!.stepsDone >= 2)));
    const urgent = await farm.render(PARAMETERS, { options: { priority: 90 } });
    expect(await farm.published(urgent)).toEqual(expected);
    const ended = await Promise.all(lesser.map((job) => job.end()));
    for (const job of ended) {
      expect(await farm.published(job)).toEqual(expected);
      expect(job.usage.wasted).toBe(0);
    }
    const gaveWay = ended.filter((job) => stageOf(job, "denoise")!.attempts > 1);
    expect(gaveWay).not.toEqual([]);
    for (const job of gaveWay) expect(job.endedAtMs).toBeGreaterThan(urgent.endedAtMs!);
  });
});

test("SIGTERM to one process after the other under load: no job fails, no work is lost", async () => {
  const jobIds: string[] = [];
  const load = TRIES_ALL ? 12 : 4;
  for (let i = 0; i < load; i++) {
    jobIds.push((await farm.submit({ ...PARAMETERS, pair: "auto" })).jobId);
  }
  const first = farm.follow(jobIds[0]!);
  await first.until((job) => job.clips[0]!.stepsDone >= 2);
  for (const { nodeId, process: node } of [...farm.nodes.values()]) {
    process.kill(node.pid!, "SIGTERM");
    expect(await node.ended).toBe("exit code 0");
    await farm.startNode(nodeId);
    await farm.nodesJoined(2);
  }
  const { coordinator } = farm;
  process.kill(coordinator!.pid!, "SIGTERM");
  expect(await coordinator!.ended).toBe("exit code 0");
  await farm.startCoordinator();
  for (const jobId of jobIds) {
    expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
  }
});
