/** @file Whether many small clips keep every node at work: what lies between their tasks. */
import { atLeast, type Figure, noted } from "./figures.js";
import { type Run, SleepingFarm } from "./sleeping-farm.js";

/** A clip takes about half a second of a node: so small that what lies between tasks can be seen. */
const TIMES = { halfMs: 50, chunkMs: 50, encoderMs: 25 };
const STEPS = 4;
const NODES = 4;
const CLIPS_OF_JOB = 16;
const JOBS = 4;
const BUSY_MIN = 0.95;

export async function measureBusy(): Promise<Figure[]> {
  const shares = await SleepingFarm.with(NODES, TIMES, async (farm) => {
    await render(farm, 1, NODES); // what is done once by each node
    const before = farm.runs.length;
    await render(farm, JOBS, CLIPS_OF_JOB);
    return busyShares(farm.runs.slice(before));
  });
  const what = `${JOBS} jobs of ${CLIPS_OF_JOB} small clips on ${NODES} nodes`;
  return [
    atLeast(`${what}: the idlest node is at work`, 100 * Math.min(...shares), 100 * BUSY_MIN, "%"),
    noted("the same, all nodes", (100 * shares.reduce((a, b) => a + b)) / shares.length, "%"),
  ];
}

async function render(farm: SleepingFarm, jobs: number, clips: number): Promise<void> {
  const seeds = Array.from({ length: clips }, (_, i) => BigInt(i));
  const submit = () => farm.submit({ numInferenceSteps: STEPS, seeds, pair: "never" });
  const jobIds = await Promise.all(Array.from({ length: jobs }, submit));
  for (const jobId of jobIds) await farm.finished(jobId);
}

/** Of each node, from the first run of all to the beginning of the last: until then work waits. */
function busyShares(runs: readonly Run[]): number[] {
  const fromMs = Math.min(...runs.map(({ beganMs }) => beganMs));
  const toMs = Math.max(...runs.map(({ beganMs }) => beganMs));
  const busyMs = new Map<string, number>();
  for (const { nodeId, beganMs, endedMs } of runs) {
    const inWindow = Math.min(endedMs ?? toMs, toMs) - beganMs;
    busyMs.set(nodeId, (busyMs.get(nodeId) ?? 0) + inWindow);
  }
  return [...busyMs.values()].map((ms) => ms / (toMs - fromMs));
}
