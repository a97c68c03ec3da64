/**
 * @file Nodes whose accelerator is slow or gives NaN: real processes, with a fault between agent and
 * runtime.
 */
import { beforeAll, expect, test } from "vitest";
import type { JobParameters } from "../../shared/farm/parameters.js";
import { CLIP, type FileHashes, stageOf, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { useGood, withFaulty } from "./faulty-farm.js";
import { TRIES_ALL } from "./selection.js";

const PARAMETERS: JobParameters = { ...CLIP, numInferenceSteps: 10 };

const theFarm = sharedFarm(2);
let farm: FaultFarm;
let expected: FileHashes;
beforeAll(async () => {
  farm = theFarm();
  expected = (await undisturbed(PARAMETERS))[0]!;
}, 60_000);

test("a slow one in a pair: the clip is late, nobody is given up, the bytes are the same", async () => {
  await withFaulty(farm, "slow", "slow:200", async () => {
    await farm.client.undrainNode("node-1");
    const job = await farm.render({ ...PARAMETERS, pair: "always" });
    const denoise = stageOf(job, "denoise")!;
    expect(denoise).toMatchObject({ attempts: 1 });
    expect([...denoise.nodeIds].sort()).toEqual(["node-1", "slow"]);
    expect(job.clips[0]!.secondsPerStep).toBeGreaterThan(0.2);
    expect(await farm.published(job)).toEqual(expected);
  });
});

test.runIf(TRIES_ALL)("a slow one among others has less of a batch, and none is lost", async () => {
  await withFaulty(farm, "slower", "slow:400", async () => {
    await useGood(farm);
    const jobs = await Promise.all(
      Array.from({ length: 9 }, () => farm.submit({ ...PARAMETERS, pair: "never" })),
    );
    for (const { jobId } of jobs) {
      expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
    }
    const slow = jobs.filter(({ jobId }) => farm.workerOf(`${jobId}-0-denoise`) === "slower");
    expect(slow.length).toBeGreaterThan(0);
    expect(slow.length).toBeLessThanOrEqual(jobs.length / 3);
  });
});

test("a NaN once: the clip is done again and has the same bytes", async () => {
  await withFaulty(farm, "nan-once", "nan:1", async () => {
    const job = await farm.render({ ...PARAMETERS, pair: "never" });
    expect(stageOf(job, "denoise")).toMatchObject({ attempts: 2 });
    const failures = farm.logOf("nan-once").filter((entry) => entry["msg"] === "task failed");
    expect(failures).toMatchObject([{ code: "numerical" }]);
    expect(await farm.published(job)).toEqual(expected);
  });
});

test("NaN wherever it is tried fails a job after two tries; on one node only, another one is asked", async () => {
  await withFaulty(farm, "nan-always", "nan:1000", async () => {
    const failed = await farm.render({ ...PARAMETERS, pair: "never" });
    expect(failed.state).toBe("failed");
    expect(failed.clips[0]!.error).toMatchObject({ code: "numerical" });
    expect(stageOf(failed, "denoise")).toMatchObject({ attempts: 2 });

    const { jobId } = await farm.submit({ ...PARAMETERS, pair: "never" });
    await farm.follow(jobId).until((job) => stageOf(job, "denoise") !== undefined);
    await useGood(farm);
    const job = await farm.follow(jobId).end();
    expect(await farm.published(job)).toEqual(expected);
    expect(stageOf(job, "denoise")!.nodeIds.at(-1)).not.toBe("nan-always");
  });
});
