/** @file The published checkpoints by their configs alone: which parameters they have, what they take. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { elementCount } from "../../shared/tensor/tensor.js";
import type { CheckpointConfigs } from "../model/configs/components-fit.js";
import { readImageEncoderConfig } from "../model/configs/image-encoder-config.js";
import { readUnetConfig } from "../model/configs/unet-config.js";
import { readVaeConfig } from "../model/configs/vae-config.js";
import { planMemory } from "../model/memory-plan.js";
import { impliedParameters, type ModelConfigs, type ModelParameters } from "../model/structure.js";
import { variantOf } from "../runtime/provider.js";
import {
  PUBLISHED_STRUCTURES,
  recognizeStructure,
  structureDigest,
} from "./published-structures.js";

function preset(name: string): ModelConfigs {
  const read = (component: string): unknown => {
    const folder = join(import.meta.dirname, "../../test/presets", name, component);
    return JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  };
  return {
    unet: readUnetConfig(read("unet")),
    vae: readVaeConfig(read("vae")),
    image_encoder: readImageEncoderConfig(read("image_encoder")),
  };
}

describe.each([
  ["svd", 14, "stable-video-diffusion-img2vid"],
  ["svd-xt", 25, "stable-video-diffusion-img2vid-xt or -xt-1-1"],
  ["svd-xt-1.1", 25, "stable-video-diffusion-img2vid-xt or -xt-1-1"],
])("%s", (name, frames, published) => {
  const configs = preset(name);
  const parameters = impliedParameters(configs, "F16");

  test("has the parameters of the reference's own classes", () => {
    const digests = PUBLISHED_STRUCTURES.map(({ digest }) => digest);
    expect(digests).toContain(structureDigest(parameters));
    expect(configs.unet.num_frames).toBe(frames);
  });

  test("is recognized by its structure, and is not once one shape is another", () => {
    expect(recognizeStructure(checkpointOf(configs, parameters))).toBe(published);
    const unet = new Map(parameters.unet);
    unet.set("conv_in.bias", { ...unet.get("conv_in.bias")!, shape: [321] });
    expect(recognizeStructure(checkpointOf(configs, { ...parameters, unet }))).toBeNull();
  });

  test("has 1.525 G parameters in the UNet, 97.7 M in the VAE, 632 M in the image encoder", () => {
    const count = (component: keyof ModelConfigs) =>
      [...parameters[component].values()].reduce((sum, { shape }) => sum + elementCount(shape), 0);
    expect([count("unet"), count("vae"), count("image_encoder")]).toEqual([
      1_524_623_082, 97_742_847, 632_076_800,
    ]);
  });

  test("takes less memory to decode in chunks, and most with every model loaded", () => {
    const clip = { frames, height: 576, width: 1024 };
    const whole = planMemory(configs, parameters, { ...clip, decodeChunk: frames });
    const chunked = planMemory(configs, parameters, { ...clip, decodeChunk: 2 });
    expect(chunked.decode).toBeLessThan(whole.decode / 4);
    expect(chunked.denoise).toBe(whole.denoise);
    const { condition, denoise, decode, together } = chunked;
    expect(together).toBeGreaterThan(Math.max(condition, denoise, decode));
  });
});

test("feed-forward networks in chunks take less where they are computed whole and hold the most", () => {
  const configs = preset("svd-xt");
  const parameters = impliedParameters(configs, "F16");
  const clip = { frames: 25, height: 576, width: 1024, decodeChunk: 1 };
  const plan = (forwardChunkSize: number | null) =>
    planMemory(configs, parameters, clip, variantOf("cuda", "float32", forwardChunkSize));
  const [whole, chunked] = [plan(null), plan(8)];
  expect(whole.denoise - chunked.denoise).toBeGreaterThan(0.2 * 2 ** 30);
  expect(chunked.decode).toBe(whole.decode);
});

/** As far as the structure goes. */
function checkpointOf(configs: ModelConfigs, parameters: ModelParameters) {
  const part = (component: keyof ModelParameters) =>
    ({ variant: "fp16", folder: "", files: [], weights: parameters[component] }) as const;
  const components = { unet: part("unet"), vae: part("vae"), image_encoder: part("image_encoder") };
  return { configs: configs as CheckpointConfigs, components };
}
