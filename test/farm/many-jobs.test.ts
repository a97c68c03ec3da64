/** @file A long queue, and a coordinator that is killed with it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { JOB_OPTIONS_DEFAULT, type JobView } from "../../shared/farm/job.js";
import { CLIP, PICTURE, undisturbed } from "./farm-harness.js";
import { type FaultFarm, sharedFarm } from "./fault-farm.js";
import { TRIES_ALL } from "./selection.js";

/** As many as the farm takes. */
const JOBS_MAX = 10_000;
const COUNT = TRIES_ALL ? JOBS_MAX : 1_000;
const AT_ONCE = 50;
const PARAMETERS = { ...CLIP, numInferenceSteps: 2 };

const theFarm = sharedFarm(2);

async function jobIdsOf(farm: FaultFarm): Promise<string[]> {
  const jobs: JobView[] = [];
  for (let token = ""; ; ) {
    const page = await farm.client.listJobs({ size: 500, token });
    jobs.push(...page.jobs);
    token = page.nextToken;
    if (token === "") return jobs.map(({ jobId }) => jobId).reverse();
  }
}

/** Ten times as many as it takes in a second, say. */
const TOO_MANY = 2_000;

/** A farm that is full says so, to everybody, and takes nothing in. */
async function refuseAll(submit: (requestId: string) => Promise<unknown>): Promise<void> {
  const tookMs: number[] = [];
  let next = 0;
  const sender = async () => {
    for (let i = next++; i < TOO_MANY; i = next++) {
      const startMs = performance.now();
      await expect(submit(`too-many-${i}`)).rejects.toMatchObject({ code: "exhausted" });
      tookMs.push(performance.now() - startMs);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sender));
  const [p50, p99] = [0.5, 0.99].map((share) => tookMs.sort((a, b) => a - b)[share * TOO_MANY]!);
  console.log(`${TOO_MANY} refusals: p50 ${p50!.toFixed(1)} ms, p99 ${p99!.toFixed(1)} ms`);
}

test("thousands of queued jobs survive the coordinator, in their order, and are done", async () => {
  const farm = theFarm();
  for (const nodeId of farm.nodes.keys()) await farm.client.drainNode(nodeId);
  const image = await farm.client.upload(readFileSync(PICTURE));
  const submit = (requestId: string) =>
    farm.client.createJob({
      images: [image],
      parameters: PARAMETERS,
      modelDigest: "",
      requestId,
      options: JOB_OPTIONS_DEFAULT,
    });
  let next = 0;
  const sender = async () => {
    for (let i = next++; i < COUNT; i = next++) await submit(`job-${i}`);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, sender));
  if (COUNT === JOBS_MAX) {
    await expect(submit("one-too-many")).rejects.toMatchObject({ code: "exhausted" });
    await refuseAll(submit);
  }
  const before = await jobIdsOf(farm);
  expect(before).toHaveLength(COUNT);

  await farm.killCoordinator();
  const startMs = performance.now();
  await farm.startCoordinator();
  const startedMs = performance.now() - startMs;
  console.log(`${COUNT} queued jobs: started again in ${(startedMs / 1000).toFixed(1)} s`);
  expect(await jobIdsOf(farm)).toEqual(before);
  await farm.nodesJoined(2);

  // A repeated request is still known, and the queue is worked off from its head.
  expect((await submit(`job-${COUNT - 1}`)).state).toBe("queued");
  for (const nodeId of farm.nodes.keys()) await farm.client.undrainNode(nodeId);
  const [expected] = await undisturbed(PARAMETERS);
  for (const jobId of before.slice(0, 3)) {
    expect(await farm.published(await farm.follow(jobId).end())).toEqual(expected);
  }
  const last = await farm.client.getJob(before.at(-1)!);
  expect(last.state).toBe("queued");
});
