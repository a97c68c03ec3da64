/** @file Clips overlap: the chunks of one are decoded on several nodes while the next is denoised. */
import { expect, test } from "vitest";
import { hashesOf, stageOf, startFarm } from "./farm-harness.js";

const TWO_CLIPS = { decodeChunkSize: 1, numVideosPerPrompt: 2 };

test("three nodes: two decode the first clip's chunks while the third denoises the second clip", async () => {
  const farm = await startFarm(3);
  const { jobId } = await farm.submit(TWO_CLIPS);
  const job = farm.follow(jobId);
  const begun = await job.until(({ clips }) =>
    clips.some((clip) => clip.plan === "single" && clip.stepsDone > 1),
  );
  const second = begun.clips.findIndex((clip) => clip.plan === "single");
  const first = 1 - second;
  expect(begun.clips[first]!.plan).toBe("pair");
  const [denoiser] = stageOf(begun, "denoise", second)!.nodeIds;
  // It stands in the midst of its steps until the other two nodes have been given chunks.
  const resumeDenoiser = farm.holdRuntimes([denoiser!]);
  const overlap = await job.until((state) => stageOf(state, "decode", first)?.nodeIds.length === 2);
  resumeDenoiser();

  const decoders = stageOf(overlap, "decode", first)!.nodeIds;
  expect(new Set([...decoders, denoiser]).size).toBe(3);
  // Each state is the whole job at one moment.
  const { stepsDone, stepsTotal } = overlap.clips[second]!;
  expect(stepsDone).toBeLessThan(stepsTotal);
  const ended = await job.end();
  const apart = await farm.render({ ...TWO_CLIPS, pair: "never" });
  expect([0, 1].map((i) => hashesOf(ended, i))).toEqual([0, 1].map((i) => hashesOf(apart, i)));
});
