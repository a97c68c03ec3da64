/**
 * @file Our side of the GPU bench, one process for each kind of work:
 * `ours.js WORK CHECKPOINT PROVIDER DTYPE FRAMES HEIGHT WIDTH CHUNK STEPS IMAGE`.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { StableVideoDiffusion } from "../../engine/stable-video-diffusion.js";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../../gpu-node/runtime/in-process-runtime.js";
import type { DtypeChoice, Provider } from "../../gpu-node/runtime/provider.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { median } from "../statistics.js";
import type { Measured, Timed } from "./work.js";

const ROUNDS = 5;

const [work, checkpointDir, provider, dtype, ...rest] = process.argv.slice(2) as [
  "unet" | "decode" | "condition" | "whole",
  string,
  Provider,
  DtypeChoice,
  ...string[],
];
const [frames, height, width, chunk, steps] = rest.map(Number) as [
  number,
  number,
  number,
  number,
  number,
];
const image = rest[5]!;

/** What the device says that this machine's processes hold; null where nothing tells. */
function deviceBytes(): number | undefined {
  try {
    const args = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    const told = execFileSync("nvidia-smi", args, { encoding: "utf8" });
    return Number.parseInt(told, 10) * 2 ** 20;
  } catch {
    return undefined;
  }
}

function wave(...shape: number[]): Tensor {
  const length = elementCount(shape);
  return tensor(
    shape,
    Float32Array.from({ length }, (_, i) => Math.sin(12.9898 * i)),
  );
}

async function timed(
  runtime: InProcessRuntime,
  graph: GraphSpec,
  inputs: Readonly<Record<string, Tensor>>,
): Promise<{ readonly timed: Timed; readonly digests: string[] }> {
  const seconds: number[] = [];
  const digests: string[] = [];
  for (let i = 0; i <= ROUNDS; i++) {
    const startMs = performance.now();
    const results = await runtime.run(graph, inputs);
    seconds.push((performance.now() - startMs) / 1_000);
    const hash = createHash("sha256");
    for (const { data } of Object.values(results)) {
      hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
    digests.push(hash.digest("hex").slice(0, 16));
  }
  const [first, ...others] = seconds;
  const distinct = [...new Set(digests)];
  return { timed: { first: first!, median: median(others) }, digests: distinct };
}

async function measure(): Promise<Measured> {
  const settings = { checkpointDir, provider, dtype, intraOpThreads: 4 } as const;
  if (work === "whole") {
    const svd = await StableVideoDiffusion.fromPretrained(checkpointDir, {
      provider,
      dtype,
      threads: 4,
    });
    const options = { height, width, numFrames: frames, decodeChunkSize: chunk, generator: 1 };
    // Loads everything and chooses every algorithm.
    await svd.run(image, { ...options, numInferenceSteps: 1 });
    const startMs = performance.now();
    const { frames: made } = await svd.run(image, { ...options, numInferenceSteps: steps });
    const whole = (performance.now() - startMs) / 1_000;
    const hash = createHash("sha256");
    for (const picture of made[0]!) hash.update(picture.data);
    const bytes = deviceBytes();
    await svd.close();
    return {
      whole,
      digests: [hash.digest("hex").slice(0, 16)],
      ...(bytes ? { deviceBytes: bytes } : {}),
    };
  }
  const runtime = await openInProcessRuntime(settings);
  const { configs, model } = runtime.info;
  const cells = { height: height / model.vaeScaleFactor, width: width / model.vaeScaleFactor };
  const told = (): Pick<Measured, "deviceBytes"> => {
    const bytes = deviceBytes();
    return bytes === undefined ? {} : { deviceBytes: bytes };
  };
  if (work === "unet") {
    const { in_channels: channels, cross_attention_dim: widths } = configs.unet;
    const { timed: unet, digests } = await timed(
      runtime,
      { module: "unet", frames, ...cells },
      {
        sample: wave(1, frames, channels, cells.height, cells.width),
        timestep: wave(1),
        encoder_hidden_states: wave(1, 1, widths.at(-1)!),
        added_time_ids: wave(1, 3),
      },
    );
    return { unet, digests, ...told() };
  }
  if (work === "decode") {
    const z = wave(chunk, configs.vae.latent_channels, cells.height, cells.width);
    const spec = { module: "vae_decoder", frames: chunk, ...cells } as const;
    const { timed: decode, digests } = await timed(runtime, spec, { z });
    return { decode, digests, ...told() };
  }
  const pixels = wave(1, 3, 224, 224);
  const { timed: clip } = await timed(
    runtime,
    { module: "image_encoder" },
    { pixel_values: pixels },
  );
  const { timed: encode } = await timed(
    runtime,
    { module: "vae_encoder", height, width },
    { x: wave(1, 3, height, width) },
  );
  return { clip, encode, ...told() };
}

process.stdout.write(`${JSON.stringify(await measure())}\n`);
process.exit(0);
