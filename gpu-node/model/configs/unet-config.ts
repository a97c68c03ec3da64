/** @file The configuration of the UNet, every field of the reference with one value per level. */
import { z } from "zod";
import type { Violation } from "../../../shared/core/errors.js";
import {
  className,
  count,
  countOrZero,
  listOf,
  modelFields,
  readConfig,
  refuseConfig,
} from "./read-config.js";

type UnetDownBlockType = "CrossAttnDownBlockSpatioTemporal" | "DownBlockSpatioTemporal";
type UnetUpBlockType = "CrossAttnUpBlockSpatioTemporal" | "UpBlockSpatioTemporal";

/**
 * `unet/config.json` in its normal form: where the reference takes "an int or a tuple", a tuple.
 *
 * A *level* is one entry of `block_out_channels`; arrays "per level" run from the finest level to
 * the coarsest, as `down_blocks` do. `up_blocks[i]` reads level `levels - 1 - i`, the mid block the
 * last level. All per-level arrays have the same length.
 *
 * @source diffusers models/unets/unet_spatio_temporal_condition.py, UNetSpatioTemporalConditionModel
 */
export interface UnetConfig {
  /** Latent height and width of the training size; null when the checkpoint does not say. */
  readonly sample_size: number | null;
  /** Channels in: noisy latents and image latents, concatenated. */
  readonly in_channels: number;
  readonly out_channels: number;
  /** Per level. */
  readonly down_block_types: readonly UnetDownBlockType[];
  /** In the order of `up_blocks`, coarsest first. */
  readonly up_block_types: readonly UnetUpBlockType[];
  /** Per level; every one a multiple of 32 (GroupNorm's groups). */
  readonly block_out_channels: readonly number[];
  /** Width of the sinusoidal embedding of one added id. */
  readonly addition_time_embed_dim: number;
  /** Number of added ids × `addition_time_embed_dim`. */
  readonly projection_class_embeddings_input_dim: number;
  /** Per level: residual blocks of the down block; the up block of the level has one more. */
  readonly layers_per_block: readonly number[];
  /** Per level: width of the encoder hidden states. */
  readonly cross_attention_dim: readonly number[];
  /**
   * Per level, per layer: transformer blocks of that layer's attention. The down block of the level
   * reads its first `layers_per_block[level]` entries, the up block `layers_per_block[level] + 1`,
   * the mid block the first entry of the last level; whatever of these has cross attention is there.
   */
  readonly transformer_layers_per_block: readonly (readonly number[])[];
  /** Per level; each divides the channels of its level. */
  readonly num_attention_heads: readonly number[];
  /** Frames of a clip that the model was trained for. */
  readonly num_frames: number;
}

/**
 * Reads `unet/config.json`, fills in the reference's defaults and spreads single values over levels.
 *
 * @param json the parsed file
 * @param file name for messages
 * @throws FarmError "checkpoint-invalid" with every wrong field
 */
export function readUnetConfig(json: unknown, file = "unet/config.json"): UnetConfig {
  const { _class_name, quantization_config, ...raw } = readConfig(unetSchema, json, file);
  const levels = raw.block_out_channels.length;
  const lengths: Violation[] = [];
  const perLevel = <T>(field: keyof typeof raw, value: T | readonly T[]): readonly T[] => {
    if (!Array.isArray(value)) return Array.from({ length: levels }, () => value as T);
    if (value.length !== levels) {
      const description = `has ${value.length} entries for ${levels} levels (block_out_channels)`;
      lengths.push({ field, description });
    }
    return value;
  };
  const config = {
    ...raw,
    down_block_types: perLevel("down_block_types", raw.down_block_types),
    up_block_types: perLevel("up_block_types", raw.up_block_types),
    layers_per_block: perLevel("layers_per_block", raw.layers_per_block),
    cross_attention_dim: perLevel("cross_attention_dim", raw.cross_attention_dim),
    num_attention_heads: perLevel("num_attention_heads", raw.num_attention_heads),
  };
  const transformers = perLevel("transformer_layers_per_block", raw.transformer_layers_per_block);
  refuseConfig(file, lengths);

  const perLayer = transformers.map((value, level) => {
    const layersOfUpBlock = config.layers_per_block[level]! + 1;
    return typeof value === "number" ? Array<number>(layersOfUpBlock).fill(value) : value;
  });
  const result: UnetConfig = { ...config, transformer_layers_per_block: perLayer };
  refuseConfig(file, levelProblems(result));
  return result;
}

/** Whether anything at a level attends: what else a level says of attention has no effect. */
export function levelHasAttention(config: UnetConfig, level: number): boolean {
  return attentionLayers(config, level) > 0;
}

/** How many entries of `transformer_layers_per_block` the blocks of a level read. */
function attentionLayers(config: UnetConfig, level: number): number {
  const levels = config.block_out_channels.length;
  const layers = config.layers_per_block[level]!;
  const inUp = config.up_block_types[levels - 1 - level] === "CrossAttnUpBlockSpatioTemporal";
  if (inUp) return layers + 1;
  if (config.down_block_types[level] === "CrossAttnDownBlockSpatioTemporal") return layers;
  return level === levels - 1 ? 1 : 0; // the mid block's
}

function levelProblems(config: UnetConfig): Violation[] {
  const problems: Violation[] = [];
  config.block_out_channels.forEach((channels, level) => {
    if (channels % GROUP_COUNT !== 0) {
      const description = `${channels} is no multiple of ${GROUP_COUNT}, the groups of GroupNorm`;
      problems.push({ field: `block_out_channels[${level}]`, description });
    }
    if (!levelHasAttention(config, level)) return;
    const heads = config.num_attention_heads[level]!;
    if (channels % heads !== 0) {
      const description = `${heads} does not divide the ${channels} channels of this level`;
      problems.push({ field: `num_attention_heads[${level}]`, description });
    }
    const given = config.transformer_layers_per_block[level]!.length;
    const needed = attentionLayers(config, level);
    if (given < needed) {
      const description = `has ${given} entries, the blocks of this level read ${needed}`;
      problems.push({ field: `transformer_layers_per_block[${level}]`, description });
    }
  });
  return problems;
}

/** Fixed in every block of the reference. */
const GROUP_COUNT = 32;

const downBlockType = z.enum(["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"]);
const upBlockType = z.enum(["CrossAttnUpBlockSpatioTemporal", "UpBlockSpatioTemporal"]);
const countOrLevels = z.union([count, listOf(count)], {
  error: "must be an integer from 1, or one for each level",
});

const unetSchema = z.object({
  ...modelFields,
  _class_name: className("UNetSpatioTemporalConditionModel"),
  sample_size: count.nullable().default(null),
  in_channels: count.default(8),
  out_channels: count.default(4),
  down_block_types: listOf(downBlockType).default([
    "CrossAttnDownBlockSpatioTemporal",
    "CrossAttnDownBlockSpatioTemporal",
    "CrossAttnDownBlockSpatioTemporal",
    "DownBlockSpatioTemporal",
  ]),
  up_block_types: listOf(upBlockType).default([
    "UpBlockSpatioTemporal",
    "CrossAttnUpBlockSpatioTemporal",
    "CrossAttnUpBlockSpatioTemporal",
    "CrossAttnUpBlockSpatioTemporal",
  ]),
  block_out_channels: listOf(count).default([320, 640, 1280, 1280]),
  addition_time_embed_dim: count.default(256),
  projection_class_embeddings_input_dim: count.default(768),
  layers_per_block: countOrLevels.default(2),
  cross_attention_dim: countOrLevels.default(1024),
  transformer_layers_per_block: z
    .union([countOrZero, listOf(z.union([countOrZero, z.array(countOrZero).min(1).max(256)]))], {
      error: "must be an integer from 0, or for each level one or a list of them",
    })
    .default(1),
  num_attention_heads: countOrLevels.default([5, 10, 20, 20]),
  num_frames: count.default(25),
});
