/** @file How soon a dead node is noticed, its work goes on elsewhere, and how much of it is lost. */
import { median } from "../statistics.js";
import { atMost, type Figure } from "./figures.js";
import { monotonicMs } from "./monotonic.js";
import { type Run, SleepingFarm } from "./sleeping-farm.js";

const ROUNDS = 3;
const STEPS = 12;
const TIMES = { halfMs: 150, chunkMs: 20, encoderMs: 10 };
/** A few steps in, and in the middle of a half. */
const STEPS_BEFORE = 4;

interface Failover {
  readonly detectedS: number;
  readonly resumedS: number;
}

export async function measureFailover(): Promise<Figure[]> {
  const killed: Failover[] = [];
  const stopped: Failover[] = [];
  const lostOfPair: number[] = [];
  const lostAlone: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    // Each has a farm of its own, and sleeping nodes do not disturb each other.
    const [kill, stop, lost] = await Promise.all([
      loseLoneNode("SIGKILL", lostAlone),
      loseLoneNode("SIGSTOP", lostAlone),
      losePartner(i % 2 === 0 ? "node-1" : "node-2"),
    ]);
    killed.push(kill);
    stopped.push(stop);
    lostOfPair.push(lost);
  }
  const middle = (of: readonly Failover[], what: keyof Failover) =>
    median(of.map((each) => each[what]));
  return [
    atMost("killed node: noticed", middle(killed, "detectedS"), 1, "s"),
    atMost("killed node: its clip computed elsewhere", middle(killed, "resumedS"), 10, "s"),
    atMost("stopped node (SIGSTOP): noticed", middle(stopped, "detectedS"), 5, "s"),
    atMost("stopped node: its clip computed elsewhere", middle(stopped, "resumedS"), 10, "s"),
    atMost("lone node lost: steps made again, worst", Math.max(...lostAlone), 5, "steps"),
    atMost("one of a pair killed: steps made again, worst", Math.max(...lostOfPair), 1, "steps"),
  ];
}

/** One node denoises, another one idles. */
async function loseLoneNode(signal: "SIGKILL" | "SIGSTOP", lost: number[]): Promise<Failover> {
  return SleepingFarm.with(2, TIMES, async (farm) => {
    const jobId = await farm.submit({ numInferenceSteps: STEPS, pair: "never" });
    const { nodeId } = await farm.until("a few steps", () => inTheMiddle(farm));
    process.kill(farm.pid(nodeId), signal);
    const lostMs = monotonicMs();
    await farm.until(
      "the loss to be noticed",
      async () => !(await farm.isConnected(nodeId)) || null,
    );
    const detectedMs = monotonicMs();
    const resumed = await farm.until("the clip to go on", () =>
      halves(farm).find((run) => run.nodeId !== nodeId),
    );
    await farm.finished(jobId);
    lost.push(stepsAgain(halves(farm)));
    return { detectedS: (detectedMs - lostMs) / 1000, resumedS: (resumed.beganMs - lostMs) / 1000 };
  });
}

/** @returns steps of which the survivor had to compute more than the victim's half */
async function losePartner(victim: string): Promise<number> {
  return SleepingFarm.with(2, TIMES, async (farm) => {
    const jobId = await farm.submit({ numInferenceSteps: STEPS, pair: "always" });
    await farm.until("a few steps", () => inTheMiddle(farm, victim));
    process.kill(farm.pid(victim), "SIGKILL");
    await farm.finished(jobId);
    return stepsAgain(halves(farm));
  });
}

/** A half that has been going on for a while, some steps into the clip. */
function inTheMiddle(farm: SleepingFarm, nodeId?: string): Run | undefined {
  const all = halves(farm);
  if (stepsOf(all).size <= STEPS_BEFORE) return undefined;
  const last = all.findLast((run) => nodeId === undefined || run.nodeId === nodeId);
  const isGoingOn = last?.endedMs === null && monotonicMs() - last.beganMs > TIMES.halfMs / 3;
  return isGoingOn ? last : undefined;
}

/** Steps of which more than two halves were begun. */
function stepsAgain(runs: readonly Run[]): number {
  return [...stepsOf(runs).values()].filter((count) => count > 2).length;
}

function stepsOf(runs: readonly Run[]): Map<number, number> {
  const counts = new Map<number, number>();
  for (const { timestep } of runs) counts.set(timestep!, (counts.get(timestep!) ?? 0) + 1);
  return counts;
}

function halves(farm: SleepingFarm): Run[] {
  return farm.runs.filter((run) => run.module === "unet");
}
