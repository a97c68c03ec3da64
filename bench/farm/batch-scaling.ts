/** @file How well many clips fill many nodes. */
import { atLeast, type Figure } from "./figures.js";
import { SleepingFarm } from "./sleeping-farm.js";

/** A clip takes 1.3 s of a node, far less than a real one: what the farm adds weighs more. */
const TIMES = { halfMs: 50, chunkMs: 100, encoderMs: 50 };
const STEPS = 10;
const CLIPS = 16;
const TARGETS = [
  [2, 0.97],
  [4, 0.95],
  [8, 0.92],
] as const;

export async function measureBatchScaling(): Promise<Figure[]> {
  const alone = await secondsOf(1);
  const figures: Figure[] = [];
  for (const [nodes, target] of TARGETS) {
    const efficiency = alone / (nodes * (await secondsOf(nodes)));
    figures.push(
      atLeast(`batch of ${CLIPS} clips on ${nodes} nodes, T1/(N TN)`, efficiency, target, ""),
    );
  }
  return figures;
}

/** From the creation of the job to its end, after a clip a node that is not counted. */
async function secondsOf(nodes: number): Promise<number> {
  return SleepingFarm.with(nodes, TIMES, async (farm) => {
    await farm.finished(await farm.submit({ numInferenceSteps: 2, seeds: seedsOf(nodes) }));
    const jobId = await farm.submit({ numInferenceSteps: STEPS, seeds: seedsOf(CLIPS) });
    const { createdAtMs, endedAtMs } = await farm.finished(jobId);
    return (endedAtMs! - createdAtMs) / 1000;
  });
}

function seedsOf(count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => BigInt(i));
}
