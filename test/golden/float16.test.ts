/**
 * @file Graphs that compute in float16, against what diffusers makes of the same inputs in float16 and
 * in float32: ours may not lie further from float32 than half as far again as its own do.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { StableVideoDiffusion } from "../../engine/index.js";
import {
  type InProcessRuntime,
  openInProcessRuntime,
} from "../../gpu-node/runtime/in-process-runtime.js";
import type { GraphSpec } from "../../gpu-node/runtime/runtime.js";
import { roundToFloat16 } from "../../shared/tensor/float16.js";
import { elementCount, type Tensor, tensor } from "../../shared/tensor/tensor.js";
import { goldenPath, goldenTensor, readGolden } from "./read-golden.js";

/** Ours over the reference's, as root mean squares of what float16 changes. */
const FURTHER_MAX = 1.5;

const cases = [
  // Stored in float32, narrowed at load; its VAE encodes in halves.
  { name: "two-level", run: "plain", variant: "fp32" },
  // Stored in float16; its VAE encodes in float32.
  { name: "three-level", run: "falling-guidance", variant: "fp16" },
] as const;

/** As call.json holds it. */
interface Call {
  readonly height: number;
  readonly width: number;
  readonly num_frames: number;
  readonly num_inference_steps: number;
  readonly decode_chunk_size: number;
  readonly min_guidance_scale?: number;
  readonly max_guidance_scale?: number;
  readonly fps?: number;
  readonly seeds: readonly number[];
}

describe.each(cases)("$name in float16", ({ name, run, variant }) => {
  const inputs = readGolden(`${name}/modules.safetensors`);
  const golden = readGolden(`${name}/float16.safetensors`);
  const checkpointDir = goldenPath(`${name}/checkpoint`);
  const given = (key: string): Tensor => inFloat16(goldenTensor(inputs, key));
  let runtime: InProcessRuntime;
  beforeAll(async () => {
    const settings = { provider: "cpu", intraOpThreads: 1, variant, dtype: "float16" } as const;
    runtime = await openInProcessRuntime({ checkpointDir, ...settings });
  });
  afterAll(() => runtime.close());

  const expectAsNear = (what: string, actual: Float32Array): void => {
    const [half, full] = ["float16", "float32"].map(
      (type) => goldenTensor(golden, `${what}.${type}`).data,
    );
    const theirs = distance(half!, full!);
    expect(distance(actual, full!)).toBeLessThanOrEqual(FURTHER_MAX * theirs);
    // Two roundings of one formula: they are as far from each other as from the exact result.
    expect(distance(actual, half!)).toBeLessThanOrEqual(2 * FURTHER_MAX * theirs);
  };

  test("the UNet", async () => {
    const [, frames, , height, width] = given("unet.sample").shape as number[];
    const graph: GraphSpec = {
      ...{ module: "unet", frames: frames!, height: height!, width: width! },
    };
    const halves: Float32Array[] = [];
    for (const half of [0, 1]) {
      const { out_sample } = await runtime.run(graph, {
        sample: row(given("unet.sample"), half),
        timestep: goldenTensor(inputs, "unet.timestep"),
        encoder_hidden_states: row(given("unet.encoder_hidden_states"), half),
        added_time_ids: row(given("unet.added_time_ids"), half),
      });
      expect(inFloat16(out_sample!)).toEqual(out_sample);
      halves.push(out_sample!.data);
    }
    expectAsNear("module.unet", joined(halves));
  });

  test("the VAE's decoder", async () => {
    const [frames, , height, width] = given("vae.latents").shape as number[];
    const graph: GraphSpec = {
      ...{ module: "vae_decoder", frames: frames!, height: height!, width: width! },
    };
    const { sample } = await runtime.run(graph, { z: given("vae.latents") });
    expectAsNear("module.decoder", sample!.data);
  });

  test("the VAE's encoder, in float32 where its config asks for it", async () => {
    const [, , height, width] = given("vae.image").shape as number[];
    const graph: GraphSpec = { module: "vae_encoder", height: height!, width: width! };
    const { mode } = await runtime.run(graph, { x: given("vae.image") });
    if (!runtime.info.configs.vae.force_upcast) {
      expectAsNear("module.encoder", mode!.data);
      return;
    }
    const full = goldenTensor(golden, "module.encoder.float32").data;
    expect(
      distance(mode!.data, full) /
        distance(
          full,
          full.map(() => 0),
        ),
    ).toBeLessThan(2e-5);
  });

  test("the image encoder", async () => {
    const pixels = row(given("clip.pixel_values"), 0);
    const { image_embeds } = await runtime.run(
      { module: "image_encoder" },
      { pixel_values: pixels },
    );
    const first = (type: string) => goldenTensor(golden, `module.image_encoder.${type}`).data;
    expect(first("float16").length % image_embeds!.data.length).toBe(0);
    const count = image_embeds!.data.length;
    const theirs = distance(
      first("float16").subarray(0, count),
      first("float32").subarray(0, count),
    );
    const ours = distance(image_embeds!.data, first("float32").subarray(0, count));
    expect(ours).toBeLessThanOrEqual(FURTHER_MAX * theirs);
  });

  test("a whole clip", async () => {
    const folder = goldenPath(`${name}/runs/${run}`);
    const call = JSON.parse(readFileSync(`${folder}/call.json`, "utf8")) as Call;
    const options = { threads: 1, variant, dtype: "float16" } as const;
    const pipe = await StableVideoDiffusion.fromPretrained(checkpointDir, options);
    const steps: Tensor[] = [];
    try {
      const { frames } = await pipe.run(`${folder}/input0.png`, {
        ...{ height: call.height, width: call.width, numFrames: call.num_frames },
        numInferenceSteps: call.num_inference_steps,
        decodeChunkSize: call.decode_chunk_size,
        minGuidanceScale: call.min_guidance_scale ?? 1,
        maxGuidanceScale: call.max_guidance_scale ?? 3,
        fps: call.fps ?? 7,
        generator: call.seeds,
        latents: goldenTensor(golden, "run.noise"),
        outputType: "np",
        callbackOnStepEnd: (_step, _timestep, { latents }) => {
          steps.push(latents);
          return undefined;
        },
      });
      const last = steps.at(-1)!;
      expect(inFloat16(last)).toEqual(last);
      expectAsNear("run.latents", last.data);
      expectAsNear("run.frames", frames[0]!.data);
    } finally {
      await pipe.close();
    }
  });
});

function inFloat16({ shape, data }: Tensor): Tensor {
  const values = data.slice();
  roundToFloat16(values);
  return tensor(shape, values);
}

/** Entry i of the batch, as a batch of one. */
function row({ shape, data }: Tensor, i: number): Tensor {
  const [, ...rest] = shape;
  const size = elementCount(rest);
  return tensor([1, ...rest], data.slice(i * size, (i + 1) * size));
}

function joined(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** The root of the mean square of the differences. */
function distance(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum / a.length);
}
