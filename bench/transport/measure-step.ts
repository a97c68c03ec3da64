/** @file What the farm adds to a pair's step beyond what is computed and the exchange of halves. */
import { guideAndStep, scaleModelInput } from "../../gpu-node/diffusion/euler-step.js";
import { atMost, type Figure, noted } from "../farm/figures.js";
import { type Run, SleepingFarm } from "../farm/sleeping-farm.js";
import { median } from "../statistics.js";
import { SIZES, timesOf } from "./measure-exchange.js";

const TIMES = { halfMs: 100, chunkMs: 0, encoderMs: 0 };
const STEPS = 25;
/** Compile what a clip runs through. */
const WARM_UP_STEPS = 5;
const UPDATES = 30;
/** Clips whose halves have just the sizes that are exchanged. */
const CLIPS = {
  "16 kB": { limitMs: 1, height: 64, width: 64, numFrames: 16 },
  "3.69 MB": { limitMs: 4, height: 576, width: 1024, numFrames: 25 },
} as const;

export async function measureStep(): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const { name, floats, rounds } of SIZES) {
    const { limitMs, ...size } = CLIPS[name];
    const ways = await timesOf(floats, rounds, "", ["socket-bus"]);
    const exchangeMs = median(ways.get("socket-bus") ?? []);
    const updateMs = timeOfUpdate(floats, size.numFrames);
    const betweenMs = await timeBetweenHalves(size);
    figures.push(
      noted(`between a pair's halves of ${name}, median`, betweenMs, "ms"),
      noted(`of which guidance, Euler step and the next input of ${name}`, updateMs, "ms"),
      noted(`of which the exchange of ${name} by socket`, exchangeMs, "ms"),
      atMost(
        `the farm adds to a step of ${name}`,
        betweenMs - updateMs - exchangeMs,
        limitMs,
        "ms",
      ),
    );
  }
  return figures;
}

/**
 * From the end of a step's later half to the beginning of a node's next one: who is done first waits
 * for what the partner computes, which is not the farm's to shorten.
 */
async function timeBetweenHalves(size: {
  readonly height: number;
  readonly width: number;
  readonly numFrames: number;
}): Promise<number> {
  return SleepingFarm.with(2, TIMES, async (farm) => {
    const steps = { numInferenceSteps: STEPS, decodeChunkSize: 1, pair: "always" } as const;
    const jobId = await farm.submit({ ...size, ...steps });
    const halves = () => farm.runs.filter((run) => run.module === "unet");
    await farm.until("the last half", () => halves()[2 * STEPS - 1]?.endedMs);
    await farm.client.cancelJob(jobId);
    return median(gapsOf(halves()));
  });
}

function gapsOf(halves: readonly Run[]): number[] {
  const [one, other] = ["node-1", "node-2"].map((nodeId) =>
    halves.filter((run) => run.nodeId === nodeId).slice(WARM_UP_STEPS),
  ) as [Run[], Run[]];
  return other.slice(1).flatMap((run, i) => {
    const endMs = Math.max(one[i]!.endedMs!, other[i]!.endedMs!);
    return [one[i + 1]!.beganMs - endMs, run.beganMs - endMs];
  });
}

/** What any program would have to do between two halves. */
function timeOfUpdate(floats: number, frames: number): number {
  const values = () => new Float32Array(floats).map((_, i) => Math.sin(i));
  const [uncond, cond, latents, out] = [values(), values(), values(), values()];
  const dtype = "float32";
  const noise = { sigma: 1.5, sigmaNext: 1.2, predictionType: "v_prediction", dtype } as const;
  const guidance = new Float32Array(frames).fill(2);
  const times = Array.from({ length: UPDATES }, () => {
    const startMs = performance.now();
    guideAndStep({ ...noise, uncond, cond, latents, out, frames, guidance });
    scaleModelInput(out, noise.sigmaNext, latents, dtype);
    return performance.now() - startMs;
  });
  return median(times);
}
