/** @file Clips overlap: the chunks of one are decoded on several nodes while the next is denoised. */
import { expect, test } from "vitest";
import type { JobView } from "../../shared/farm/job.js";
import { CLIP, hashesOf, stageOf, startFarm, undisturbed } from "./farm-harness.js";

/** Twelve chunks a clip: decoding goes on for many times the duration of a step. */
const TWO_CLIPS = { ...CLIP, numFrames: 12, decodeChunkSize: 1, numVideosPerPrompt: 2 };

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
    clips.some((c) => c.plan === "single" && c.stepsDone > 1),
  );
  const second = begun.clips.findIndex((clip) => clip.plan === "single");
  const first = 1 - second;
  expect(begun.clips[first]!.plan).toBe("pair");
  // Its node is held for as long as the pair needs, so that nothing depends on who is faster.
  const denoiser = stageOf(begun, "denoise", second)!.nodeIds[0]!;
  const held = farm.runtimePid(denoiser);
  process.kill(held, "SIGSTOP");
  const overlap = await job.until((state) => chunksInWork(state, first) === 2);
  process.kill(held, "SIGCONT");
  const ended = await job.end();

  // Each state is the whole job at one moment.
  const { stepsDone, stepsTotal } = overlap.clips[second]!;
  expect(stepsDone).toBeLessThan(stepsTotal);
  const decoders = stageOf(overlap, "decode", first)!.nodeIds;
  expect(decoders).toHaveLength(2);
  expect(decoders).not.toContain(denoiser);
  const later = job.seen.slice(job.seen.indexOf(overlap));
  const both = later.filter(
    (state) => chunksInWork(state, first) === 2 && state.clips[second]!.stepsDone > stepsDone,
  );
  expect(both.length, "states with more steps of one and chunks of the other").toBeGreaterThan(0);

  expect(ended.clips.map((_, i) => hashesOf(ended, i))).toEqual(await undisturbed(TWO_CLIPS));
});
