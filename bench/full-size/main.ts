/**
 * @file `npm run bench -- full-size [--preset svd-xt] [--threads 2]`: a checkpoint of the real size
 * with random weights: its UNet's graph, a small clip, its peak of memory, and diffusers beside it.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { formatBytes } from "../../shared/core/bytes.js";
import { pythonWithDiffusers } from "../diffusers/python-environment.js";
import { root, SUBJECTS } from "../subjects.js";
import { CLIP } from "./clip.js";
import { fullSizeCheckpoint } from "./make-checkpoint.js";

/** What must hold; a run that misses one of them fails. */
const LIMITS = { graphSeconds: 2, graphBytes: 300e6, peakBytes: 20e9, difference: 1e-3 };
/** Below this the machine would swap, or the kernel would choose a process to end. */
const FREE_BYTES_MIN = 14e9;

type Answer = Readonly<Record<string, number>>;

/** @returns whether every limit was kept */
export async function benchFullSize(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      preset: { type: "string", default: "svd-xt" },
      threads: { type: "string", default: "2" },
      "without-diffusers": { type: "boolean", default: false },
    },
  });
  const checkpoint = await fullSizeCheckpoint(values.preset);
  const folder = await mkdtemp(join(tmpdir(), "renderfarm-full-"));
  const image = SUBJECTS[0]!.image;
  const ours = (work: string): Promise<Answer> =>
    ask(process.execPath, [
      fileURLToPath(new URL("./ours.js", import.meta.url)),
      ...[work, checkpoint, image, values.threads, join(folder, work)],
    ]);
  const kept: boolean[] = [];
  const limit = (what: string, value: number, most: number, text: string): void => {
    kept.push(value <= most);
    process.stdout.write(`${what}: ${text} (${value <= most ? "within" : "OVER"} the limit)\n`);
  };
  try {
    const graph = await ours("graph");
    process.stdout.write(
      `UNet: ${graph["parameterCount"]} parameters, ${graph["nodeCount"]} nodes, ` +
        `${graph["teraFlops"]!.toFixed(2)} TFLOP a half at 25 x 576 x 1024\n`,
    );
    const { seconds, addedBytes } = graph;
    limit("graph built in", seconds!, LIMITS.graphSeconds, `${seconds!.toFixed(2)} s`);
    limit("graph's memory", addedBytes!, LIMITS.graphBytes, formatBytes(addedBytes!));
    if (freemem() < FREE_BYTES_MIN) {
      const free = formatBytes(freemem());
      process.stdout.write(
        `no clip is made: ${free} are free, ${FREE_BYTES_MIN / 1e9} GB wanted\n`,
      );
      return false;
    }
    for (const work of ["clip-offload", "clip"]) {
      const { peakBytes, ...times } = await ours(work);
      process.stdout.write(`${work}: ${JSON.stringify(times)}\n`);
      limit(`${work}, peak memory`, peakBytes!, LIMITS.peakBytes, formatBytes(peakBytes!));
    }
    const [whole, offloaded] = await Promise.all(
      ["clip", "clip-offload"].map((work) => readFile(join(folder, work))),
    );
    const apart = whole!.equals(offloaded!) ? 0 : 1;
    limit("with offload", apart, 0, apart === 0 ? "the same bytes" : "OTHER BYTES");
    if (!values["without-diffusers"]) {
      const out = join(folder, "theirs");
      const { peakBytes, ...times } = await theirs(checkpoint, image, out, values.threads);
      process.stdout.write(
        `diffusers: ${JSON.stringify(times)}, peak memory ${formatBytes(peakBytes!)}\n`,
      );
      const apartBy = difference(floats(whole!), floats(await readFile(out)));
      limit("largest difference", apartBy, LIMITS.difference, apartBy.toExponential(2));
    }
    return kept.every(Boolean);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function theirs(
  checkpoint: string,
  image: string,
  out: string,
  threads: string,
): Promise<Answer> {
  const { frames, height, width, steps, seed } = CLIP;
  const numbers = [threads, frames, height, width, steps, seed].map(String);
  const script = join(root, "bench", "full-size", "theirs.py");
  return ask(await pythonWithDiffusers(), [script, checkpoint, image, out, ...numbers]);
}

async function ask(program: string, args: readonly string[]): Promise<Answer> {
  const env = { ...process.env, HF_HUB_OFFLINE: "1" };
  const { stdout } = await promisify(execFile)(program, args, { env, maxBuffer: 1 << 26 });
  return JSON.parse(stdout) as Answer;
}

function floats(bytes: Buffer): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer);
}

/** Of values in 0..1. */
function difference(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}
