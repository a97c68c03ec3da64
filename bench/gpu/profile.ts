/** @file Where the time of a half and of a decoded chunk goes on a device, by the engine's profiler. */
import { openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { buildVaeDecoder } from "../../gpu-node/model/autoencoder-kl-temporal-decoder.js";
import type { BuiltGraph } from "../../gpu-node/model/graph.js";
import { buildUnet } from "../../gpu-node/model/unet-spatio-temporal-condition.js";
import { type Provider, variantOf } from "../../gpu-node/runtime/provider.js";
import type { ComputeType } from "../../shared/tensor/tensor.js";
import { sumBy } from "../profile/kernels.js";
import { runProfiler } from "../profile/run-profiler.js";
import { THREADS, XT_CLIP } from "./work.js";

const RUNS = 4;
const ROWS = 25;

/**
 * The profiler counts what the host does; a device's own time shows only where each launch waits for
 * its end, so that is switched on for the rest of this process.
 */
export async function profileStages(
  checkpoint: string,
  provider: Provider,
  dtype: ComputeType,
): Promise<void> {
  process.env["CUDA_LAUNCH_BLOCKING"] = "1";
  const { configs, components } = await openCheckpoint(checkpoint);
  const { frames, height, width, chunk } = XT_CLIP;
  const factor = 2 ** (configs.vae.block_out_channels.length - 1);
  const cells = { height: height / factor, width: width / factor };
  const variant = variantOf(provider, dtype);
  const { unet, vae } = components;
  const half = buildUnet(configs.unet, unet.weights, { frames, ...cells }, variant);
  await tell("a half", half, unet.folder, provider);
  const decoder = buildVaeDecoder(configs.vae, vae.weights, { frames: chunk, ...cells }, variant);
  await tell("a decoded chunk", decoder, vae.folder, provider);
}

async function tell(
  what: string,
  graph: BuiltGraph,
  folder: string,
  provider: Provider,
): Promise<void> {
  const kernels = await runProfiler(graph, folder, { provider, intraOpThreads: THREADS }, RUNS);
  const totalMs = kernels.reduce((sum, { ms }) => sum + ms, 0);
  process.stdout.write(`\n${what}: ${totalMs.toFixed(1)} ms in ${kernels.length} kernels\n`);
  const write = (rows: ReturnType<typeof sumBy>): void => {
    for (const { key, count, ms } of rows.slice(0, ROWS)) {
      const share = `${((100 * ms) / totalMs).toFixed(1)} %`;
      process.stdout.write(`${ms.toFixed(2)} ms, ${share}, ${count} x ${key}\n`);
    }
    process.stdout.write("\n");
  };
  write(sumBy(kernels, ({ operator, provider: where }) => `${operator} ${where}`));
  write(sumBy(kernels, ({ operator, shapes }) => `${operator} ${shapes}`));
}
