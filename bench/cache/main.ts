/**
 * @file `npm run bench -- cache [--checkpoint NAME] [--threads 1] [--rounds 5]`: what feature caching
 * saves and what it changes, beside the same clip with every step whole and beside diffusers', on the
 * trained demo checkpoint and the golden ones, whose weights are random. All of them take turns.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { StableVideoDiffusion } from "../../engine/stable-video-diffusion.js";
import { sizeOf } from "../diffusers/compare.js";
import { pythonWithDiffusers } from "../diffusers/python-environment.js";
import { Side } from "../diffusers/side.js";
import { median } from "../statistics.js";
import { SUBJECTS, type Subject } from "../subjects.js";
import { type Change, changeOf } from "./change.js";

/** 1 is every step whole. */
const INTERVALS = [1, 2, 3, 5] as const;
const STEPS = 25;
const SEED = 42;

interface Made {
  /** Pixels in 0..1, [F, H, W, 3]. */
  readonly pixels: Float32Array;
  /** From the end of the first step, by when graphs are open, to the end of the last. */
  readonly seconds: number;
}

type Maker = () => Promise<Made>;

/** @returns true: nothing here can fail */
export async function benchCache(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      checkpoint: { type: "string" },
      threads: { type: "string", default: "1" },
      rounds: { type: "string", default: "5" },
    },
  });
  const python = await pythonWithDiffusers();
  const folder = await mkdtemp(join(tmpdir(), "renderfarm-bench-"));
  const titles = ["checkpoint", "interval", "seconds", "speed-up", "beside diffusers"];
  const errors = [
    "change: mean",
    "largest",
    "PSNR dB",
    "from diffusers: mean",
    "largest",
    "PSNR dB",
  ];
  process.stdout.write(rowOf([...titles, ...errors]));
  process.stdout.write(rowOf([...titles, ...errors].map(() => "---")));
  try {
    for (const subject of SUBJECTS) {
      if (values.checkpoint && values.checkpoint !== subject.name) continue;
      const settings = { python, threads: Number(values.threads), rounds: Number(values.rounds) };
      await benchSubject(subject, { ...settings, framesFile: join(folder, subject.name) });
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return true;
}

interface Settings {
  readonly python: string;
  readonly threads: number;
  readonly rounds: number;
  readonly framesFile: string;
}

async function benchSubject(subject: Subject, settings: Settings): Promise<void> {
  const { checkpoint, name } = subject;
  const { threads, rounds } = settings;
  // A pipeline keeps two graphs of the UNet; whole steps that keep no features are a third one, whose
  // turn would have the others opened again in every round.
  const whole = await StableVideoDiffusion.fromPretrained(checkpoint, { threads });
  const caching = await StableVideoDiffusion.fromPretrained(checkpoint, { threads });
  const side = new Side("diffusers", settings.python);
  try {
    await side.ask({ op: "open", checkpoint, threads, ...(await sizeOf(subject)) });
    const ours = INTERVALS.map(
      (interval) => () => makeOurs(interval === 1 ? whole : caching, subject, interval),
    );
    const theirs = () => makeTheirs(side, subject, settings.framesFile);
    const { clips, times } = await inTurns([theirs, ...ours], rounds);
    const [reference, exact] = clips as [Made, Made];
    // A round's own ratio, so that what slows one down slows the others down, too.
    const ratio = (slow: number, fast: number) =>
      median(times[slow]!.map((seconds, round) => seconds / times[fast]![round]!)).toFixed(2);
    process.stdout.write(rowOf([name, "diffusers", median(times[0]!).toFixed(2)]));
    for (const [i, interval] of INTERVALS.entries()) {
      const { pixels } = clips[i + 1]!;
      process.stdout.write(
        rowOf([
          ...[name, String(interval), median(times[i + 1]!).toFixed(2)],
          ...[ratio(1, i + 1), ratio(0, i + 1)],
          ...showChange(changeOf(pixels, exact.pixels)),
          ...showChange(changeOf(pixels, reference.pixels)),
        ]),
      );
    }
  } finally {
    await side.close();
    await whole.close();
    await caching.close();
  }
}

/** After a round that does not count. @returns of each maker its last clip and its seconds by round */
async function inTurns(makers: readonly Maker[], rounds: number) {
  const clips: Made[] = [];
  const times = makers.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, make] of makers.entries()) {
      clips[i] = await make();
      if (round > 0) times[i]!.push(clips[i]!.seconds);
    }
  }
  return { clips, times };
}

async function makeOurs(
  pipe: StableVideoDiffusion,
  { image, frames: numFrames, height, width }: Subject,
  cacheInterval: number,
): Promise<Made> {
  const marks: number[] = [];
  const { frames } = await pipe.run(image, {
    ...{ height, width, numFrames, cacheInterval },
    ...{ numInferenceSteps: STEPS, generator: SEED, outputType: "np" },
    callbackOnStepEnd: () => {
      marks.push(performance.now());
      return undefined;
    },
  });
  return { pixels: frames[0]!.data, seconds: (marks.at(-1)! - marks[0]!) / 1_000 };
}

async function makeTheirs(side: Side, { image }: Subject, framesFile: string): Promise<Made> {
  const request = { op: "render", image, steps: STEPS, seed: SEED, framesFile } as const;
  const seconds = await side.number(request, "steps_seconds");
  const { buffer, byteOffset, byteLength } = await readFile(framesFile);
  return { pixels: new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength)), seconds };
}

function showChange({ mean, largest, psnr }: Change): string[] {
  return [mean.toExponential(1), largest.toExponential(1), psnr.toFixed(1)];
}

function rowOf(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |\n`;
}
