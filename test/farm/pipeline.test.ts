/** @file Clips overlap: the chunks of one are decoded on several nodes while the next is denoised. */
import { expect, test } from "vitest";
import type { JobView } from "../../shared/farm/job.js";
import { hashesOf, stageOf, startFarm } from "./farm-harness.js";

const TWO_CLIPS = { decodeChunkSize: 1, numVideosPerPrompt: 2 };

/** Chunks of a clip that nodes have been given and have not decoded yet. */
function chunksInWork(job: JobView, clipIndex: number): number {
  const granted = stageOf(job, "decode", clipIndex)?.attempts ?? 0;
  return granted - job.clips[clipIndex]!.chunksDone;
}

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
  // Runtimes are held where one is not to be faster than the other, so nothing depends on luck.
  const resumeDenoiser = farm.holdRuntimes([denoiser!]);
  const overlap = await job.until((state) => chunksInWork(state, first) === 2);
  const decoders = stageOf(overlap, "decode", first)!.nodeIds;
  const resumeDecoders = farm.holdRuntimes(decoders);
  resumeDenoiser();

  expect(new Set([...decoders, denoiser]).size).toBe(3);
  // Each state is the whole job at one moment.
  const { stepsDone, stepsTotal } = overlap.clips[second]!;
  const later = await job.until((state) => state.clips[second]!.stepsDone > stepsDone);
  expect(later.clips[second]!.stepsDone).toBeLessThan(stepsTotal);
  expect(chunksInWork(later, first)).toBe(2);
  resumeDecoders();
  const ended = await job.end();
  const apart = await farm.render({ ...TWO_CLIPS, pair: "never" });
  expect([0, 1].map((i) => hashesOf(ended, i))).toEqual([0, 1].map((i) => hashesOf(apart, i)));
});
