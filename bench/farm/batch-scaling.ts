/** @file How well many clips fill many nodes. */
import { atLeast, type Figure } from "./figures.js";
import { SleepingFarm } from "./sleeping-farm.js";

/** A clip takes 2.8 s of a node, far less than a real one: what the farm adds weighs more. */
const TIMES = { halfMs: 100, chunkMs: 300, encoderMs: 100 };
const STEPS = 10;
const CLIPS = 16;
const TARGETS = [
  [2, 0.97],
  [4, 0.95],
  [8, 0.92],
] as const;

/** The farms stand side by side: sleeping nodes leave the processor to each other. */
export async function measureBatchScaling(): Promise<Figure[]> {
  const counts = [1, ...TARGETS.map(([nodes]) => nodes)];
  const shapes = counts.map((nodes) => ({ nodes, times: TIMES }));
  const [alone, ...others] = await SleepingFarm.withAll(shapes, (farm, i) =>
    secondsOf(farm, counts[i]!),
  );
  return TARGETS.map(([nodes, target], i) => {
    const name = `batch of ${CLIPS} clips on ${nodes} nodes, T1/(N TN)`;
    return atLeast(name, alone! / (nodes * others[i]!), target, "");
  });
}

/** From the creation of the job to its end, after a clip a node that is not counted. */
async function secondsOf(farm: SleepingFarm, nodes: number): Promise<number> {
  await farm.finished(await farm.submit({ numInferenceSteps: 2, seeds: seedsOf(nodes) }));
  const jobId = await farm.submit({ numInferenceSteps: STEPS, seeds: seedsOf(CLIPS) });
  const { createdAtMs, endedAtMs } = await farm.finished(jobId);
  return (endedAtMs! - createdAtMs) / 1000;
}

function seedsOf(count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => BigInt(i));
}
