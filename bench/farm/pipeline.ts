/** @file How well two nodes share denoising and decoding, against what no schedule can beat. */
import type { SleepTimes } from "../sleeping-node/sleeping-runtime.js";
import { atLeast, atMost, type Figure } from "./figures.js";
import { type FarmShape, SleepingFarm } from "./sleeping-farm.js";

const NODES = 2;
const CLIPS = 6;
const STEPS = 8;
const CHUNKS = 4;
const SIZE = { numFrames: 2 * CHUNKS, decodeChunkSize: 2 };
/** Milliseconds of a node that a clip takes in all; a real one takes a minute and more. */
const CLIP_MS = 4_800;
/** Work of denoising to work of decoding; on real accelerators about 6 : 1. */
const RATIOS = [
  [6, 1],
  [4, 2],
  [2, 1],
  [1, 1],
] as const;

/** The farms stand side by side: sleeping nodes leave the processor to each other. */
export async function measurePipeline(): Promise<Figure[]> {
  const shapes = RATIOS.map(([denoise, decode]) => ({
    nodes: NODES,
    times: timesOf(denoise, decode),
  }));
  const efficiencies = await SleepingFarm.withAll(shapes, efficiencyOf);
  const ratios = RATIOS.map(([denoise, decode], i) => {
    const name = `pipeline, denoise : decode = ${denoise} : ${decode}, lower bound / measured`;
    return atLeast(name, efficiencies[i]!, 0.93, "");
  });
  return [...ratios, await measureRoles()];
}

/** Preferences must not make a farm slower: they are what is done first, not what is done only. */
async function measureRoles(): Promise<Figure> {
  const farm = { nodes: NODES, times: timesOf(...RATIOS[0]) };
  const shapes: FarmShape[] = [farm, { ...farm, prefer: ["denoise", "decode"] }];
  const [whole, preferring] = await SleepingFarm.withAll(shapes, efficiencyOf);
  const name = "one denoise + one decode node, time / that of two nodes without preference";
  return atMost(name, whole! / preferring!, 1.03, "");
}

function timesOf(denoise: number, decode: number): SleepTimes {
  const shareMs = CLIP_MS / (denoise + decode);
  return {
    halfMs: (denoise * shareMs) / (2 * STEPS),
    chunkMs: (decode * shareMs) / CHUNKS,
    encoderMs: 0,
  };
}

/** Lower bound: the work of all clips, spread over the nodes without a gap. */
async function efficiencyOf(farm: SleepingFarm): Promise<number> {
  await farm.finished(await farm.submit({ ...SIZE, numInferenceSteps: 2, seeds: [1n, 2n] }));
  const seeds = Array.from({ length: CLIPS }, (_, i) => BigInt(i));
  const jobId = await farm.submit({ ...SIZE, numInferenceSteps: STEPS, seeds });
  const { createdAtMs, endedAtMs } = await farm.finished(jobId);
  return (CLIPS * CLIP_MS) / NODES / (endedAtMs! - createdAtMs);
}
