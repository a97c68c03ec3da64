/** @file What a step costs beside its two halves, saved latents included. */
import { atMost, type Figure } from "./figures.js";
import { SleepingFarm, SMALL, SVD_XT } from "./sleeping-farm.js";

const TIMES = { halfMs: 500, chunkMs: 0, encoderMs: 0 };
const STEPS = 10;

export async function measureStepOverhead(): Promise<Figure[]> {
  const small = await measureSize(SMALL);
  const large = await measureSize(SVD_XT);
  return [
    atMost("step of 1 s: all that is no half, checkpoints included", small, 2, "%"),
    atMost("the same with latents of SVD-XT's size", large, 2, "%"),
  ];
}

/** Percent of the halves' own time, over a whole clip. */
async function measureSize(size: typeof SMALL | typeof SVD_XT): Promise<number> {
  return SleepingFarm.with(1, TIMES, async (farm) => {
    const jobId = await farm.submit({ ...size, numInferenceSteps: STEPS, decodeChunkSize: 1 });
    const halves = () => farm.runs.filter((run) => run.module === "unet");
    await farm.until("the last half", () => halves()[2 * STEPS - 1]?.endedMs);
    await farm.client.cancelJob(jobId);
    const spanMs = halves().at(-1)!.endedMs! - halves()[0]!.beganMs;
    const halvesMs = 2 * STEPS * TIMES.halfMs;
    return (100 * (spanMs - halvesMs)) / halvesMs;
  });
}
