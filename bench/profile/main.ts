/**
 * @file `npm run bench -- profile [--checkpoint NAME|FOLDER] [--threads N] [--rows N]`: where a half
 * of a step goes, by the engine's own profiler: operators, and then their most expensive shapes.
 */
import { parseArgs } from "node:util";
import { openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { buildUnet } from "../../gpu-node/model/unet-spatio-temporal-condition.js";
import { mediumCheckpoint, pythonWithDiffusers } from "../diffusers/python-environment.js";
import { GEMM_OPERATIONS, openGemm } from "../gemm-rate.js";
import { SUBJECTS } from "../subjects.js";
import { sumBy } from "./kernels.js";
import { runProfiler } from "./run-profiler.js";

/** Each kernel counts with the fastest of these: what else the machine does only adds time. */
const RUNS = 12;

export async function benchProfile(args: readonly string[]): Promise<boolean> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      checkpoint: { type: "string", default: "demo" },
      threads: { type: "string", default: "1" },
      rows: { type: "string", default: "12" },
    },
  });
  const threads = Number(values.threads);
  const { checkpoint, ...cells } = await subjectOf(values.checkpoint);
  const { configs, components } = await openCheckpoint(checkpoint);
  const built = buildUnet(configs.unet, components.unet.weights, cells);
  const gemm = await openGemm(threads);
  const gemmSeconds: number[] = [];
  for (let i = 0; i < RUNS; i++) gemmSeconds.push(await gemm());
  const settings = { provider: "cpu", intraOpThreads: threads } as const;
  const kernels = await runProfiler(built, components.unet.folder, settings, RUNS);

  const totalMs = kernels.reduce((sum, { ms }) => sum + ms, 0);
  const rate = (2 * built.costs.multiplications) / (totalMs / 1_000);
  const gemmRate = GEMM_OPERATIONS / Math.min(...gemmSeconds);
  process.stdout.write(
    `${values.checkpoint}, ${threads} threads: ${totalMs.toFixed(1)} ms in ${kernels.length} kernels, ` +
      `${(rate / 1e9).toFixed(1)} GF/s by counted operations, ` +
      `${(rate / gemmRate).toFixed(2)} of this machine's GEMM rate (${(gemmRate / 1e9).toFixed(1)})\n\n`,
  );
  writeTable(
    "operator",
    sumBy(kernels, ({ operator }) => operator),
    totalMs,
  );
  const shapes = sumBy(kernels, ({ operator, shapes }) => `${operator} ${shapes}`);
  writeTable("shapes", shapes.slice(0, Number(values.rows)), totalMs);
  return true;
}

/** A checkpoint by its name here, or a folder: at the demo's size. */
async function subjectOf(name: string) {
  if (name === "medium") {
    const checkpoint = await mediumCheckpoint(await pythonWithDiffusers());
    return { checkpoint, frames: 8, height: 32, width: 32 };
  }
  const { checkpoint, frames, height, width } = SUBJECTS.find((s) => s.name === name) ?? {
    ...SUBJECTS[0]!,
    checkpoint: name,
  };
  const { configs } = await openCheckpoint(checkpoint);
  const factor = 2 ** (configs.vae.block_out_channels.length - 1);
  return { checkpoint, frames, height: height / factor, width: width / factor };
}

function writeTable(title: string, rows: ReturnType<typeof sumBy>, totalMs: number): void {
  process.stdout.write(`| ${title} | kernels | ms | share |\n| --- | --- | --- | --- |\n`);
  for (const { key, count, ms } of rows) {
    const share = `${((100 * ms) / totalMs).toFixed(1)} %`;
    process.stdout.write(`| ${key} | ${count} | ${ms.toFixed(2)} | ${share} |\n`);
  }
  process.stdout.write("\n");
}
