/** @file Where the time of a half and of a decoded chunk goes on a device, by the engine's profiler. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { openCheckpoint } from "../../gpu-node/checkpoint/open-checkpoint.js";
import { buildVaeDecoder } from "../../gpu-node/model/autoencoder-kl-temporal-decoder.js";
import type { BuiltGraph } from "../../gpu-node/model/graph.js";
import { buildUnet } from "../../gpu-node/model/unet-spatio-temporal-condition.js";
import { type Provider, variantOf } from "../../gpu-node/runtime/provider.js";
import { engineOptions } from "../../gpu-node/runtime/session.js";
import type { ComputeType } from "../../shared/tensor/tensor.js";
import { type Kernel, kernelsOf, sumBy } from "../profile/kernels.js";
import { wave } from "./modules.js";
import { XT_CLIP } from "./work.js";

const RUNS = 4;
const ROWS = 25;

/**
 * The profiler counts what the host does; a device's own time shows only where each launch waits for
 * its end, so this is to be run with CUDA_LAUNCH_BLOCKING=1.
 */
export async function profileStages(
  checkpoint: string,
  provider: Provider,
  dtype: ComputeType,
): Promise<boolean> {
  process.env["CUDA_LAUNCH_BLOCKING"] = "1";
  const { configs, components } = await openCheckpoint(checkpoint);
  const { frames, height, width, chunk } = XT_CLIP;
  const factor = 2 ** (configs.vae.block_out_channels.length - 1);
  const cells = { height: height / factor, width: width / factor };
  const variant = variantOf(provider, dtype);
  const unet = buildUnet(configs.unet, components.unet.weights, { frames, ...cells }, variant);
  await tell("a half", unet, components.unet.folder, provider);
  const { vae } = components;
  const decoder = buildVaeDecoder(configs.vae, vae.weights, { frames: chunk, ...cells }, variant);
  await tell("a decoded chunk", decoder, vae.folder, provider);
  return true;
}

async function tell(
  what: string,
  graph: BuiltGraph,
  folder: string,
  provider: Provider,
): Promise<void> {
  const kernels = await profile(graph, folder, provider);
  const totalMs = kernels.reduce((sum, { ms }) => sum + ms, 0);
  process.stdout.write(`\n${what}: ${totalMs.toFixed(1)} ms in ${kernels.length} kernels\n`);
  const write = (rows: ReturnType<typeof sumBy>): void => {
    for (const { key, count, ms } of rows) {
      process.stdout.write(
        `${ms.toFixed(2)} ms, ${((100 * ms) / totalMs).toFixed(1)} %, ${count} x ${key}\n`,
      );
    }
    process.stdout.write("\n");
  };
  write(sumBy(kernels, ({ operator, provider: where }) => `${operator} ${where}`).slice(0, ROWS));
  write(sumBy(kernels, ({ operator, shapes }) => `${operator} ${shapes}`).slice(0, ROWS));
}

async function profile(graph: BuiltGraph, folder: string, provider: Provider): Promise<Kernel[]> {
  const out = await mkdtemp(join(tmpdir(), "renderfarm-profile-"));
  try {
    const engine = await InferenceSession.create(graph.bytes, {
      ...engineOptions(folder, { provider, intraOpThreads: 4 }),
      enableProfiling: true,
      profileFilePrefix: join(out, "profile"),
    });
    const feeds = Object.fromEntries(
      graph.inputs.map(({ name, shape }) => [
        name,
        new Tensor("float32", wave(...shape).data, shape),
      ]),
    );
    for (let i = 0; i < RUNS; i++) await engine.run(feeds);
    engine.endProfiling();
    await engine.release();
    const [file] = await readdir(out);
    return kernelsOf(await readFile(join(out, file!), "utf8"));
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}
