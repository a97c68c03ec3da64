/**
 * @file `npm run bench -- diffusers [--checkpoint NAME] [--threads 1,2] [--out DIR]`: the engine and
 * a farm of two beside diffusers, on the same checkpoints, in one run of about twelve minutes.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root, SUBJECTS } from "../subjects.js";
import {
  type Comparison,
  compareColdStart,
  compareOperations,
  compareWholeClip,
  type DiffusersSubject,
  type Figure,
  GEMM_SHARE,
  isReached,
  sizeOf,
  type Versions,
  versions,
} from "./compare.js";
import { plotRatios } from "./plot.js";
import { mediumCheckpoint, pythonWithDiffusers } from "./python-environment.js";

/** What every checkpoint has to reach; those of the UNet differ. */
const TARGETS: Partial<Record<Figure, number>> = {
  decode: 0.8,
  "cold start": 0.5,
  "peak memory": 0.8,
  "whole clip": 0.65,
};

export interface Row extends Comparison {
  readonly checkpoint: string;
}

export interface Results {
  readonly machine: string;
  readonly versions: Versions;
  readonly rows: readonly Row[];
}

/** @returns whether every target was reached */
export async function benchDiffusers(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      checkpoint: { type: "string" },
      threads: { type: "string", default: "1" },
      out: { type: "string", default: join(root, "out", "bench") },
    },
  });
  const python = await pythonWithDiffusers();
  const all = await subjects(python);
  const chosen = all.filter(({ name }) => !values.checkpoint || name === values.checkpoint);
  if (chosen.length === 0) {
    const names = all.map(({ name }) => name).join(", ");
    throw new Error(`--checkpoint ${values.checkpoint} is unknown; legal are ${names}`);
  }
  const rows: Row[] = [];
  const add = (checkpoint: string, found: readonly Comparison[]) => {
    for (const comparison of found) {
      rows.push({ checkpoint, ...comparison });
      process.stdout.write(lineOf(rows.at(-1)!));
    }
  };
  process.stdout.write(headline());
  for (const subject of chosen) {
    for (const threads of values.threads.split(",").map(Number)) {
      add(subject.name, await compareOperations(subject, python, threads));
    }
    add(subject.name, [await compareColdStart(subject, python, 1)]);
    add(subject.name, [await compareWholeClip(subject, python)]);
  }
  await write(values.out, {
    machine: `${cpus()[0]?.model ?? "?"}, ${cpus().length} cores`,
    versions: await versions(python),
    rows,
  });
  return rows.every(isReached);
}

async function subjects(python: string): Promise<DiffusersSubject[]> {
  const small: DiffusersSubject[] = [];
  for (const subject of SUBJECTS) {
    const { name, checkpoint, image } = subject;
    const targets = name === "demo" ? { ...TARGETS, unet: 0.45 } : TARGETS;
    const size = await sizeOf(subject);
    small.push({ name, checkpoint, image, targets, size, clipSteps: 10 });
  }
  const medium: DiffusersSubject = {
    name: "medium",
    checkpoint: await mediumCheckpoint(python),
    image: SUBJECTS[0]!.image,
    size: { frames: 8, decodeFrames: 2, height: 256, width: 256, fp16: false },
    clipSteps: 4,
    targets: { ...TARGETS, unet: 0.65, [GEMM_SHARE]: 0.7 },
  };
  return [...small, medium];
}

async function write(folder: string, results: Results): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "diffusers.json"), `${JSON.stringify(results, null, 2)}\n`);
  await writeFile(join(folder, "diffusers.svg"), plotRatios(results));
  process.stdout.write(`\nwritten: ${join(folder, "diffusers.json")} and diffusers.svg\n`);
}

function headline(): string {
  const cells = ["checkpoint", "figure", "threads", "ours", "diffusers", "ratio", "target"];
  return `| ${cells.join(" | ")} |\n| ${cells.map(() => "---").join(" | ")} |\n`;
}

function lineOf(row: Row): string {
  const { checkpoint, figure, threads, ours, theirs, ratio, target } = row;
  const bound = `${figure === GEMM_SHARE ? ">=" : "<="} ${target}`;
  const verdict = target === null ? "" : `${bound} ${isReached(row) ? "ok" : "MISSED"}`;
  const [mine, other] = [ours, theirs].map((value) => show(figure, value));
  const cells = [checkpoint, TITLES[figure] ?? figure, threads, mine, other, ratio.toFixed(2)];
  return `| ${[...cells, verdict].join(" | ")} |\n`;
}

/** Names of figures as the table has them, where they are not the figure's own. */
const TITLES: Partial<Record<Row["figure"], string>> = {
  unet: "UNet half",
  decode: "decode, a frame",
  encode: "VAE encode",
  clip: "CLIP",
  "cold start": "cold start to first step",
  "whole clip": "whole clip, two nodes",
  [GEMM_SHARE]: "UNet half, GEMM",
};

function show(figure: Row["figure"], value: number): string {
  if (figure === "peak memory") return `${(value / 2 ** 20).toFixed(0)} MiB`;
  if (figure === GEMM_SHARE) return `${(value / 1e9).toFixed(1)} GF/s`;
  return `${value.toFixed(4)} s`;
}
