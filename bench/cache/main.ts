/**
 * @file `npm run bench -- cache [--threads 1]`: what feature caching saves and what it changes, on the
 * trained demo checkpoint and the golden ones, whose weights are random.
 */
import { parseArgs } from "node:util";
import { StableVideoDiffusion } from "../../engine/stable-video-diffusion.js";
import type { Tensor } from "../../shared/tensor/tensor.js";
import { SUBJECTS } from "../subjects.js";

const INTERVALS = [2, 3, 5] as const;
const STEPS = 25;
const SEED = 42;
/** Of the uncached clip and each cached one, in turn. */
const ROUNDS = 3;

interface Made {
  readonly frames: Tensor;
  /** Seconds from the first step to the last. */
  readonly seconds: number;
}

/** @returns true: nothing here can fail */
export async function benchCache(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: { threads: { type: "string", default: "1" }, rounds: { type: "string" } },
  });
  const rounds = Number(values.rounds ?? ROUNDS);
  process.stdout.write("| checkpoint | interval | speed-up | mean change | largest | PSNR dB |\n");
  for (const { name, checkpoint, image, ...size } of SUBJECTS) {
    const pipe = await StableVideoDiffusion.fromPretrained(checkpoint, {
      threads: Number(values.threads),
    });
    const make = async (cacheInterval: number): Promise<Made> => {
      const marks: number[] = [];
      const { frames } = await pipe.run(image, {
        ...{ height: size.height, width: size.width, numFrames: size.frames, cacheInterval },
        ...{ numInferenceSteps: STEPS, generator: SEED, outputType: "np" },
        callbackOnStepEnd: () => {
          marks.push(performance.now());
          return undefined;
        },
      });
      // The first step's end: opening the graphs is not in it.
      return { frames: frames[0]!, seconds: (marks.at(-1)! - marks[0]!) / 1_000 };
    };
    const times = new Map<number, number[]>();
    const clips = new Map<number, Tensor>();
    for (let round = 0; round < rounds; round++) {
      for (const interval of [1, ...INTERVALS]) {
        const { frames, seconds } = await make(interval);
        clips.set(interval, frames);
        times.set(interval, [...(times.get(interval) ?? []), seconds]);
      }
    }
    for (const interval of INTERVALS) {
      const speedUp = Math.min(...times.get(1)!) / Math.min(...times.get(interval)!);
      const { mean, largest, psnr } = change(clips.get(interval)!.data, clips.get(1)!.data);
      process.stdout.write(
        `| ${name} | ${interval} | ${speedUp.toFixed(2)} | ${mean.toFixed(4)} | ` +
          `${largest.toFixed(3)} | ${psnr.toFixed(1)} |\n`,
      );
    }
    await pipe.close();
  }
  return true;
}

/** Of pixels in 0..1. */
function change(cached: Float32Array, exact: Float32Array) {
  let [sum, squares, largest] = [0, 0, 0];
  for (let i = 0; i < exact.length; i++) {
    const difference = Math.abs(cached[i]! - exact[i]!);
    sum += difference;
    squares += difference ** 2;
    largest = Math.max(largest, difference);
  }
  const { length } = exact;
  return { mean: sum / length, largest, psnr: -10 * Math.log10(squares / length) };
}
