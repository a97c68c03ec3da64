/**
 * @file Nodes whose accelerator is slow, gives NaN, or holds up their agent: real processes, with a
 * fault between agent and runtime.
 */
import { beforeAll, expect, test } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, isMidDenoise, stageOf, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 10 };
/** Shorter and longer than a lease of 5 s. */
const HELD_UP = { short: "block:3000", long: "block:8000" };

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

/** A faulty node beside the farm's own two, which take no work until they are asked to. */
async function withFaulty(
  fault: string,
  use: (nodeId: string) => Promise<void>,
  nodeId = "node-bad",
): Promise<void> {
  for (const good of ["node-1", "node-2"]) await farm.client.drainNode(good);
  await farm.startNode(nodeId, { fault });
  await farm.nodesJoined(farm.nodes.size);
  try {
    await use(nodeId);
  } finally {
    await farm.removeNode(nodeId);
    await useGood();
  }
}

async function useGood(): Promise<void> {
  for (const good of ["node-1", "node-2"]) await farm.client.undrainNode(good);
}

/** How often a node was given the denoising of a job. */
function grantsTo(nodeId: string, jobId: string): number {
  return farm
    .logOf(nodeId)
    .filter((entry) => entry["msg"] === "task assigned" && entry["job_id"] === jobId)
    .filter((entry) => entry["stage"] === "denoise").length;
}

test("a slow one in a pair: the clip is late, nobody is given up, the bytes are the same", async () => {
  await withFaulty("slow:400", async (nodeId) => {
    await farm.client.undrainNode("node-1");
    const job = await farm.render({ ...PARAMETERS, pair: "always" });
    const denoise = stageOf(job, "denoise")!;
    expect(denoise).toMatchObject({ attempts: 1 });
    expect([...denoise.nodeIds].sort()).toEqual(["node-1", nodeId]);
    expect(job.clips[0]!.secondsPerStep).toBeGreaterThan(0.4);
    expect(await farm.published(job)).toEqual(expected);
  });
});

test("a slow one among others has less of a batch, and none of it is lost", async () => {
  await withFaulty("slow:400", async (nodeId) => {
    await useGood();
    const jobs = await Promise.all(
      Array.from({ length: 9 }, () => farm.submit({ ...PARAMETERS, pair: "never" })),
    );
    for (const { jobId } of jobs) {
      expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
    }
    const slow = jobs.filter(({ jobId }) => grantsTo(nodeId, jobId) > 0).length;
    expect(slow).toBeGreaterThan(0);
    expect(slow).toBeLessThanOrEqual(jobs.length / 3);
  });
});

test("a NaN once: the clip is done again and has the same bytes", async () => {
  await withFaulty("nan:1", async (nodeId) => {
    const job = await farm.render({ ...PARAMETERS, pair: "never" });
    expect(stageOf(job, "denoise")).toMatchObject({ attempts: 2 });
    const failures = farm.logOf(nodeId).filter((entry) => entry["msg"] === "task failed");
    expect(failures).toMatchObject([{ code: "numerical" }]);
    expect(await farm.published(job)).toEqual(expected);
  });
});

test("NaN on one node only: another one makes the clip", async () => {
  await withFaulty("nan:1000", async (nodeId) => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "never" });
    await farm.follow(jobId).until((job) => stageOf(job, "denoise") !== undefined);
    await useGood();
    const job = await farm.follow(jobId).end();
    expect(await farm.published(job)).toEqual(expected);
    expect(stageOf(job, "denoise")!.nodeIds.at(-1)).not.toBe(nodeId);
  });
});

test("NaN wherever it is tried: the job fails as numerical after two tries, others do not", async () => {
  await withFaulty("nan:1000", async () => {
    const job = await farm.render({ ...PARAMETERS, pair: "never" });
    expect(job.state).toBe("failed");
    expect(job.clips[0]!.error).toMatchObject({ code: "numerical" });
    expect(stageOf(job, "denoise")).toMatchObject({ attempts: 2 });
  });
  expect(await farm.published(await farm.render(PARAMETERS))).toEqual(expected);
});

test("an agent that is held up for less than its lease is waited for", async () => {
  await withFaulty(HELD_UP.short, async (nodeId) => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "never" });
    await farm.follow(jobId).until((job) => isMidDenoise(job));
    await useGood();
    const job = await farm.follow(jobId).end();
    expect(stageOf(job, "denoise")).toMatchObject({ attempts: 1, nodeIds: [nodeId] });
    expect(await farm.published(job)).toEqual(expected);
  });
});

test("one that is held up for longer is given up, fences itself, and another one goes on", async () => {
  await withFaulty(HELD_UP.long, async (nodeId) => {
    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "never" });
    await farm.follow(jobId).until((job) => isMidDenoise(job));
    await useGood();
    const job = await farm.follow(jobId).end();
    const { nodeIds } = stageOf(job, "denoise")!;
    expect(nodeIds).toHaveLength(2);
    expect(nodeIds).toContain(nodeId);
    expect(await farm.published(job)).toEqual(expected);
    await farm.nodesJoined(farm.nodes.size); // it is back
    const reports = farm.logOf(nodeId).filter((entry) => entry["msg"] === "task finished");
    expect(reports.map((entry) => entry["task_id"])).not.toContain(`${jobId}-0-denoise`);
  });
});
