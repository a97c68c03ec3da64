/** @file Cancelled jobs: their nodes are free for the next one, and whoever watches hears of the end. */
import { expect, test } from "vitest";
import { CLIP, hashesOf, stageOf, startFarm, undisturbed } from "./farm-harness.js";

test("a job that is denoised by both nodes: the watch ends, and the next job has both nodes", async () => {
  const farm = await startFarm(2);
  const { jobId } = await farm.submit({ pair: "always", numInferenceSteps: 400 });
  const job = farm.follow(jobId);
  await job.until((state) => state.clips[0]!.stepsDone >= 2);

  expect((await farm.client.cancelJob(jobId)).state).toBe("cancelled");
  const ended = await job.end();
  expect(ended.state).toBe("cancelled");
  expect(ended.clips[0]).toMatchObject({ state: "cancelled", outputs: [], error: null });

  const next = await farm.render({ pair: "always" });
  expect(hashesOf(next)).toEqual((await undisturbed(CLIP))[0]);
  expect(next.clips[0]!.plan).toBe("pair");
  expect([...stageOf(next, "denoise")!.nodeIds].sort()).toEqual(["node-1", "node-2"]);
  expect(await farm.client.getJob(jobId)).toEqual(ended);
});

test("again, or too late: a cancelled job stays so, and one that has ended cannot be cancelled", async () => {
  const farm = await startFarm(1);
  const running = await farm.submit({ numInferenceSteps: 400 });
  const waiting = await farm.submit({ numInferenceSteps: 400 });
  await farm.follow(running.jobId).until((state) => state.clips[0]!.stepsDone >= 2);

  for (const { jobId } of [waiting, running]) {
    const first = await farm.client.cancelJob(jobId);
    expect(first.state).toBe("cancelled");
    expect(await farm.client.cancelJob(jobId)).toEqual(first);
    expect(await farm.follow(jobId).end()).toEqual(first);
  }
  const done = await farm.render({ numInferenceSteps: 2 });
  hashesOf(done);
  await expect(farm.client.cancelJob(done.jobId)).rejects.toMatchObject({
    code: "wrong-state",
    detail: `job ${done.jobId} has ended: succeeded`,
  });
  expect(await farm.client.getJob(done.jobId)).toEqual(done);
});

test("a job of which a clip is decoded: the next job has both nodes", async () => {
  const farm = await startFarm(2);
  const { jobId } = await farm.submit({ pair: "never", numVideosPerPrompt: 2, numFrames: 12 });
  const job = farm.follow(jobId);
  await job.until((state) => [0, 1].some((i) => stageOf(state, "decode", i) !== undefined));
  await farm.client.cancelJob(jobId);
  const ended = await job.end();
  expect(ended.clips.map((clip) => clip.state)).toEqual(["cancelled", "cancelled"]);

  const next = await farm.render({ pair: "always", numInferenceSteps: 2 });
  expect(next.clips[0]!.plan).toBe("pair");
  hashesOf(next);
});
