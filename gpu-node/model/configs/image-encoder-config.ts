/** @file The configuration of the CLIP image encoder. */
import { z } from "zod";
import type { Violation } from "../../../shared/core/errors.js";
import { count, modelFields, positive, readConfig, refuseConfig } from "./read-config.js";

/** `quick_gelu` is x · sigmoid(1.702 x); `gelu` the exact one, by erf. */
export type ClipActivation = "gelu" | "quick_gelu";

/**
 * `image_encoder/config.json`.
 *
 * @source transformers models/clip/configuration_clip.py, CLIPVisionConfig
 */
export interface ImageEncoderConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  /** Width of the embedding: the UNet's cross attention width. */
  readonly projection_dim: number;
  readonly num_hidden_layers: number;
  /** Divides `hidden_size`. */
  readonly num_attention_heads: number;
  readonly num_channels: number;
  /** Height and width of the picture, in pixels. */
  readonly image_size: number;
  /** Height and width of a patch, in pixels; a rest of `image_size` is not read. */
  readonly patch_size: number;
  readonly hidden_act: ClipActivation;
  readonly layer_norm_eps: number;
}

/**
 * Reads `image_encoder/config.json` and fills in the reference's defaults.
 *
 * @param json the parsed file
 * @param file name for messages
 * @throws FarmError "checkpoint-invalid" with every wrong field
 */
export function readImageEncoderConfig(
  json: unknown,
  file = "image_encoder/config.json",
): ImageEncoderConfig {
  const { architectures, model_type, pruned_heads, quantization_config, ...config } = readConfig(
    imageEncoderSchema,
    json,
    file,
  );
  const problems: Violation[] = [];
  const { hidden_size: width, num_attention_heads: heads } = config;
  if (width % heads !== 0) {
    const description = `${heads} does not divide hidden_size ${width}`;
    problems.push({ field: "num_attention_heads", description });
  }
  if (config.patch_size > config.image_size) {
    const description = `${config.patch_size} is above image_size ${config.image_size}`;
    problems.push({ field: "patch_size", description });
  }
  refuseConfig(file, problems);
  return config;
}

const CLASS = "CLIPVisionModelWithProjection";

/** Pixels of a square side; newer files may write both sides. */
const squareSide = z
  .union([count, z.tuple([count, count])], {
    error: "must be an integer from 1, or two equal ones",
  })
  .refine((side) => typeof side === "number" || side[0] === side[1], "must be square")
  .transform((side) => (typeof side === "number" ? side : side[0]));

const imageEncoderSchema = z.object({
  ...modelFields,
  architectures: z
    .array(z.string())
    .refine((names) => names.includes(CLASS), `must name ${CLASS}: no other class is supported`)
    .nullish(),
  model_type: z.literal("clip_vision_model", { error: "must be clip_vision_model" }).optional(),
  // Written by older versions; weights of pruned heads are cut out of the matrices.
  pruned_heads: z
    .record(z.string(), z.never({ error: "pruned heads are not supported" }))
    .nullish(),
  hidden_size: count.default(768),
  intermediate_size: count.default(3072),
  projection_dim: count.default(512),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  num_channels: count.default(3),
  image_size: squareSide.default(224),
  patch_size: squareSide.default(32),
  hidden_act: z.enum(["gelu", "quick_gelu"]).default("quick_gelu"),
  layer_norm_eps: positive.default(1e-5),
});
