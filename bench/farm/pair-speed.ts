/** @file How much faster two nodes denoise one clip than one. */
import { atLeast, type Figure, noted } from "./figures.js";
import { SleepingFarm, SMALL, SVD_XT } from "./sleeping-farm.js";

const TIMES = { halfMs: 200, chunkMs: 0, encoderMs: 0 };
/** As many as the reference makes. */
const STEPS = 25;
/** Compiles what a clip runs through. */
const WARM_UP_STEPS = 3;

type Size = typeof SMALL | typeof SVD_XT;

export async function measurePairSpeed(): Promise<Figure[]> {
  const small = await measureSize(SMALL);
  const large = await measureSize(SVD_XT);
  return [
    atLeast("pair: denoising of a clip, T1/T2 at 200 ms a half", small.stage, 1.93, ""),
    // Both nodes hash and add up 3.7 MB a half on the cores of one machine, so nothing is promised.
    noted("the same with halves of SVD-XT's size, 3.7 MB", large.stage, ""),
    noted("the same, medians of the steps alone", large.step, ""),
  ];
}

/** Quotients of one node's time by two nodes' time. */
async function measureSize(size: Size): Promise<{ stage: number; step: number }> {
  return SleepingFarm.with(2, TIMES, async (farm) => {
    for (const pair of ["never", "never", "always"] as const) {
      await denoise(farm, size, WARM_UP_STEPS, pair);
    }
    const single = await denoise(farm, size, STEPS, "never");
    const pair = await denoise(farm, size, STEPS, "always");
    return { stage: single.stageS / pair.stageS, step: single.stepS / pair.stepS };
  });
}

/** Denoises one clip; its frames are not decoded, since nobody looks at them. */
async function denoise(
  farm: SleepingFarm,
  size: Size,
  numInferenceSteps: number,
  pair: "never" | "always",
): Promise<{ stageS: number; stepS: number }> {
  const jobId = await farm.submit({ ...size, numInferenceSteps, pair, decodeChunkSize: 1 });
  const clip = await farm.until("the clip to be denoised", async () => {
    const { clips } = await farm.client.getJob(jobId);
    return clips[0]?.stages.some((stage) => stage.stage === "decode") ? clips[0] : null;
  });
  await farm.client.cancelJob(jobId);
  const { seconds } = clip.stages.find((stage) => stage.stage === "denoise")!;
  return { stageS: seconds, stepS: clip.secondsPerStep };
}
