/**
 * @file `npm run bench -- batching`: whether one run of the UNet for several clips would be faster than
 * a run each. One clip of twice and four times the frames stands in for a batch: only the attention
 * among frames tells the two apart, and it grows with the square of the frames, so a batch would take
 * less than what is measured.
 */
import { parseArgs } from "node:util";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../gpu-node/runtime/in-process-runtime.js";
import { type CallSize, moduleCalls } from "./module-calls.js";
import { SUBJECTS } from "./subjects.js";

const BATCHES = [1, 2, 4] as const;

/** @returns true: nothing here can fail */
export async function benchBatching(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: { rounds: { type: "string", default: "5" } },
  });
  process.stdout.write("| checkpoint | threads | batch 2 / 2 singles | batch 4 / 4 singles |\n");
  for (const { name, checkpoint, frames, ...pixels } of SUBJECTS) {
    for (const threads of [1, 2]) {
      const runtime = await openInProcessRuntime({
        ...{ checkpointDir: checkpoint, provider: "cpu", intraOpThreads: threads },
      });
      const best = new Map<number, number>();
      for (let round = 0; round <= Number(values.rounds); round++) {
        for (const batch of BATCHES) {
          const seconds = await run(runtime, { ...pixels, frames: batch * frames });
          // The first one opens the graph.
          if (round > 0)
            best.set(batch, Math.min(best.get(batch) ?? Number.POSITIVE_INFINITY, seconds));
        }
      }
      const ratio = (batch: number) => (best.get(batch)! / (batch * best.get(1)!)).toFixed(2);
      process.stdout.write(`| ${name} | ${threads} | ${ratio(2)} | ${ratio(4)} |\n`);
      await runtime.close();
    }
  }
  return true;
}

async function run(runtime: InProcessRuntime, clip: CallSize): Promise<number> {
  const [graph, inputs] = moduleCalls(runtime.info.configs, clip).unet;
  const startMs = performance.now();
  await runtime.run(graph, inputs);
  return (performance.now() - startMs) / 1_000;
}
