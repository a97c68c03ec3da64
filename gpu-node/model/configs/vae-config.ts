/** @file The configuration of the temporal VAE. */
import { z } from "zod";
import type { Violation } from "../../../shared/core/errors.js";
import { className, count, listOf, modelFields, readConfig, refuseConfig } from "./read-config.js";

/** `AttnDownEncoderBlock2D` has attention, one head, after each of its residual blocks. */
type VaeDownBlockType = "DownEncoderBlock2D" | "AttnDownEncoderBlock2D";

/**
 * `vae/config.json`.
 *
 * @source diffusers models/autoencoders/autoencoder_kl_temporal_decoder.py,
 *   AutoencoderKLTemporalDecoder
 */
export interface VaeConfig {
  /** Channels of the picture that is encoded. */
  readonly in_channels: number;
  /** Channels of a decoded frame. */
  readonly out_channels: number;
  /** Per level of the encoder, finest first. */
  readonly down_block_types: readonly VaeDownBlockType[];
  /** Per level, finest first; every one a multiple of 32 (GroupNorm's groups). */
  readonly block_out_channels: readonly number[];
  /** Residual blocks per level of the encoder; the decoder has one more. */
  readonly layers_per_block: number;
  readonly latent_channels: number;
  /** Height and width of the training pictures, in pixels. */
  readonly sample_size: number;
  /** Latents are divided by it before they are decoded. */
  readonly scaling_factor: number;
  /** Whether the encoder runs in float32 even where the weights are float16. */
  readonly force_upcast: boolean;
}

/**
 * Reads `vae/config.json` and fills in the reference's defaults.
 *
 * @param json the parsed file
 * @param file name for messages
 * @throws FarmError "checkpoint-invalid" with every wrong field
 */
export function readVaeConfig(json: unknown, file = "vae/config.json"): VaeConfig {
  const { _class_name, quantization_config, ...config } = readConfig(vaeSchema, json, file);
  const problems: Violation[] = [];
  const levels = config.block_out_channels.length;
  if (config.down_block_types.length !== levels) {
    const description = `has ${config.down_block_types.length} entries for ${levels} levels (block_out_channels)`;
    problems.push({ field: "down_block_types", description });
  }
  config.block_out_channels.forEach((channels, level) => {
    if (channels % GROUP_COUNT === 0) return;
    const description = `${channels} is no multiple of ${GROUP_COUNT}, the groups of GroupNorm`;
    problems.push({ field: `block_out_channels[${level}]`, description });
  });
  refuseConfig(file, problems);
  return config;
}

/** Fixed in every block of the reference. */
const GROUP_COUNT = 32;

const vaeSchema = z.object({
  ...modelFields,
  _class_name: className("AutoencoderKLTemporalDecoder"),
  in_channels: count.default(3),
  out_channels: count.default(3),
  down_block_types: listOf(z.enum(["DownEncoderBlock2D", "AttnDownEncoderBlock2D"])).default([
    "DownEncoderBlock2D",
  ]),
  block_out_channels: listOf(count).default([64]),
  layers_per_block: count.default(1),
  latent_channels: count.default(4),
  sample_size: count.default(32),
  scaling_factor: z
    .number()
    .refine((factor) => factor !== 0, "must not be 0, latents are divided by it")
    .default(0.18215),
  // The reference declares a float and asks only whether it is true.
  force_upcast: z.union([z.boolean(), z.number()]).default(true).transform(Boolean),
});
