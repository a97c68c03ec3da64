/** @file Cancelled jobs: their nodes are free for the next one, and whoever watches hears of the end. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { hashesOf, stageOf, TestFarm } from "./farm-harness.js";

/** Far more steps than are ever made. */
const ENDLESS = { numInferenceSteps: 1000 };
const SHORT = { numInferenceSteps: 2 };

let farm: TestFarm;
beforeAll(async () => {
  farm = await TestFarm.start(2);
});
afterAll(() => farm.stop());

/** Renders a clip that takes every node there is. */
async function renderOnBothNodes(): Promise<void> {
  const job = await farm.render({ ...SHORT, pair: "always" });
  hashesOf(job);
  expect(job.clips[0]!.plan).toBe("pair");
  expect([...stageOf(job, "denoise")!.nodeIds].sort()).toEqual(["node-1", "node-2"]);
}

test("a job that both nodes denoise: the watch ends, and the next job has both nodes", async () => {
  const { jobId } = await farm.submit({ ...ENDLESS, pair: "always" });
  const job = farm.follow(jobId);
  await job.until((state) => state.clips[0]!.stepsDone >= 2);

  expect((await farm.client.cancelJob(jobId)).state).toBe("cancelled");
  const ended = await job.end();
  expect(ended.state).toBe("cancelled");
  expect(ended.clips[0]).toMatchObject({ state: "cancelled", outputs: [], error: null });
  await renderOnBothNodes();
  expect(await farm.client.getJob(jobId)).toEqual(ended);
});

test("a job of which one clip is decoded and another denoised: the next job has both nodes", async () => {
  const { jobId } = await farm.submit({ pair: "never", numVideosPerPrompt: 2 });
  const job = farm.follow(jobId);
  await job.until((state) => [0, 1].some((i) => stageOf(state, "decode", i) !== undefined));
  await farm.client.cancelJob(jobId);
  const ended = await job.end();
  expect(ended.clips.map((clip) => clip.state)).toEqual(["cancelled", "cancelled"]);
  await renderOnBothNodes();
});

test("twice, or before its turn: it stays cancelled, and a watch that comes later ends at once", async () => {
  const first = await farm.submit({ ...ENDLESS, pair: "always" });
  await farm.follow(first.jobId).until((state) => state.clips[0]!.stepsDone >= 2);
  const second = await farm.submit({ ...ENDLESS, pair: "always" });
  for (const { jobId } of [second, first]) {
    const cancelled = await farm.client.cancelJob(jobId);
    expect(cancelled.state).toBe("cancelled");
    expect(await farm.client.cancelJob(jobId)).toEqual(cancelled);
    expect(await farm.follow(jobId).end()).toEqual(cancelled);
  }
  await renderOnBothNodes();
});

test("too late: a job that has ended is refused and keeps its files", async () => {
  const done = await farm.render(SHORT);
  await expect(farm.client.cancelJob(done.jobId)).rejects.toMatchObject({
    code: "wrong-state",
    detail: `job ${done.jobId} has ended: succeeded`,
  });
  expect(await farm.client.getJob(done.jobId)).toEqual(done);
});
