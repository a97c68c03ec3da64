/**
 * @file `npm run bench -- batching [--checkpoint NAME] [--rounds 5]`: whether one run of the UNet for
 * several clips would be faster than a run each. One clip of twice and four times the frames stands in
 * for a batch: only the attention among frames tells the two apart, and it grows with the square of the
 * frames. What the stand-in multiplies more than a batch would is known by count, and is told beside
 * what is measured.
 */
import { parseArgs } from "node:util";
import { openCheckpoint } from "../gpu-node/checkpoint/open-checkpoint.js";
import type { BuiltGraph } from "../gpu-node/model/graph.js";
import { processBytes } from "../gpu-node/model/memory-plan.js";
import { buildUnet } from "../gpu-node/model/unet-spatio-temporal-condition.js";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../gpu-node/runtime/in-process-runtime.js";
import { mediumSubject } from "./diffusers/python-environment.js";
import { type CallSize, moduleCalls } from "./module-calls.js";
import { median } from "./statistics.js";
import { SUBJECTS, type Subject } from "./subjects.js";

const BATCHES = [2, 4] as const;

/** @returns true: nothing here can fail */
export async function benchBatching(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: { checkpoint: { type: "string" }, rounds: { type: "string", default: "5" } },
  });
  const titles = [
    "checkpoint",
    "threads",
    "batch",
    "batch / singles",
    "by count",
    "peak / single's",
  ];
  process.stdout.write(rowOf(titles));
  process.stdout.write(rowOf(titles.map(() => "---")));
  for (const subject of [...SUBJECTS, await mediumSubject()]) {
    if (values.checkpoint && values.checkpoint !== subject.name) continue;
    const costs = await costsOf(subject);
    for (const threads of [1, 2]) {
      const ratios = await ratiosOf(subject, threads, Number(values.rounds));
      for (const batch of BATCHES) {
        const [time, count, peak] = [ratios.get(batch)!, costs.work(batch), costs.peak(batch)];
        const cells = [time, count, peak].map((ratio) => ratio.toFixed(3));
        process.stdout.write(rowOf([subject.name, String(threads), String(batch), ...cells]));
      }
    }
  }
  return true;
}

/** Of the stand-in for each batch beside as many single runs. */
async function costsOf({ checkpoint, ...size }: Subject) {
  const { configs, components } = await openCheckpoint(checkpoint);
  const factor = 2 ** (configs.vae.block_out_channels.length - 1);
  const cells = { height: size.height / factor, width: size.width / factor };
  const graphs = new Map<number, BuiltGraph>();
  for (const batch of [1, ...BATCHES]) {
    const frames = batch * size.frames;
    graphs.set(batch, buildUnet(configs.unet, components.unet.weights, { frames, ...cells }));
  }
  const [single, of] = [graphs.get(1)!, (batch: number) => graphs.get(batch)!];
  return {
    work: (batch: number) =>
      of(batch).costs.multiplications / (batch * single.costs.multiplications),
    peak: (batch: number) => processBytes([of(batch)]) / processBytes([single]),
  };
}

/** Medians over the rounds of each round's own ratio, by batch. */
async function ratiosOf(subject: Subject, intraOpThreads: number, rounds: number) {
  const { checkpoint: checkpointDir, frames, height, width } = subject;
  const settings = { checkpointDir, provider: "cpu", intraOpThreads } as const;
  const ratios = new Map<number, number[]>(BATCHES.map((batch) => [batch, []]));
  // A runtime keeps two sessions of a module: more would be opened again in every round.
  const runtimes = new Map<number, InProcessRuntime>();
  for (const batch of [1, ...BATCHES]) runtimes.set(batch, await openInProcessRuntime(settings));
  const seconds = (batch: number) =>
    run(runtimes.get(batch)!, { height, width, frames: batch * frames });
  try {
    for (let round = 0; round <= rounds; round++) {
      for (const batch of BATCHES) {
        const together = await seconds(batch);
        const single = await seconds(1);
        // The first round opens the graphs.
        if (round > 0) ratios.get(batch)!.push(together / (batch * single));
      }
    }
  } finally {
    for (const runtime of runtimes.values()) await runtime.close();
  }
  return new Map([...ratios].map(([batch, found]) => [batch, median(found)]));
}

async function run(runtime: InProcessRuntime, clip: CallSize): Promise<number> {
  const [graph, inputs] = moduleCalls(runtime.info.configs, clip).unet;
  const startMs = performance.now();
  await runtime.run(graph, inputs);
  return (performance.now() - startMs) / 1_000;
}

function rowOf(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |\n`;
}
