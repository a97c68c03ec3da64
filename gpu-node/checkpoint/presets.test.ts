/** @file The published checkpoints by their configs alone: which parameters they have, what they take. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { elementCount } from "../../shared/tensor/tensor.js";
import { readImageEncoderConfig } from "../model/configs/image-encoder-config.js";
import { readUnetConfig } from "../model/configs/unet-config.js";
import { readVaeConfig } from "../model/configs/vae-config.js";
import { planMemory } from "../model/memory-plan.js";
import { impliedParameters, type ModelConfigs, structureText } from "../model/structure.js";

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

/**
 * sha256 over a sorted line a parameter, "unet conv_in.weight [320, 8, 3, 3]".
 *
 * @source named_parameters() of diffusers 0.42.1's and transformers' classes made from these configs
 */
const STRUCTURE = "f16ff67f81b0500d0c217a6e89059d3ebb7e49d8329dce48574bac59ada22500";

describe.each([
  ["svd", 14],
  ["svd-xt", 25],
  ["svd-xt-1.1", 25],
])("%s", (name, frames) => {
  const configs = preset(name);
  const parameters = impliedParameters(configs, "F16");

  test("has the parameters of the reference's own classes", () => {
    const digest = createHash("sha256").update(structureText(parameters)).digest("hex");
    expect(digest).toBe(STRUCTURE);
    expect(configs.unet.num_frames).toBe(frames);
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
