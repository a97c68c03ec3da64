/** @file How well two nodes share denoising and decoding, against what no schedule can beat. */
import { atLeast, type Figure } from "./figures.js";
import { SleepingFarm } from "./sleeping-farm.js";

const NODES = 2;
const CLIPS = 6;
const STEPS = 8;
const CHUNKS = 4;
/** Milliseconds of a node that a clip takes in all. */
const CLIP_MS = 2_400;
/** Work of denoising to work of decoding; on real accelerators about 6 : 1. */
const RATIOS = [
  [6, 1],
  [4, 2],
  [2, 1],
  [1, 1],
] as const;

export async function measurePipeline(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [denoise, decode] of RATIOS) {
    const share = CLIP_MS / (denoise + decode);
    const halfMs = (denoise * share) / (2 * STEPS);
    const chunkMs = (decode * share) / CHUNKS;
    const efficiency = await measureOne({ halfMs, chunkMs, encoderMs: 0 });
    const name = `pipeline, denoise : decode = ${denoise} : ${decode}, lower bound / measured`;
    figures.push(atLeast(name, efficiency, 0.93, ""));
  }
  return figures;
}

/** Lower bound: the work of all clips, spread over the nodes without a gap. */
async function measureOne(times: { halfMs: number; chunkMs: number; encoderMs: number }) {
  return SleepingFarm.with(NODES, times, async (farm) => {
    const numFrames = 2 * CHUNKS;
    const size = { numFrames, decodeChunkSize: 2 };
    await farm.finished(await farm.submit({ ...size, numInferenceSteps: 2, seeds: [1n, 2n] }));
    const seeds = Array.from({ length: CLIPS }, (_, i) => BigInt(i));
    const jobId = await farm.submit({ ...size, numInferenceSteps: STEPS, seeds });
    const { createdAtMs, endedAtMs } = await farm.finished(jobId);
    return (CLIPS * CLIP_MS) / NODES / (endedAtMs! - createdAtMs);
  });
}
