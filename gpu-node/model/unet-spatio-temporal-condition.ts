/**
 * @file The UNet: noisy latents of a clip to the model's prediction, one guidance half at a time.
 *
 * @source diffusers models/unets/unet_spatio_temporal_condition.py
 */
import { FarmError } from "../../shared/core/errors.js";
import type { UnetConfig } from "./configs/unet-config.js";
import { timestepEmbedding, timesteps } from "./embeddings.js";
import type { BuiltGraph, GraphVariant } from "./graph.js";
import { GraphBuilder, type Value } from "./graph-builder.js";
import { conv3x3, groupNorm, silu } from "./layers.js";
import { add, cast, toComputeType } from "./ops-math.js";
import { reshape } from "./ops-shape.js";
import { Weights } from "./parameters.js";
import {
  type AttentionConfig,
  type Conditioning,
  downBlock,
  midBlock,
  upBlock,
} from "./unet-3d-blocks.js";
import type { WeightIndex } from "./weights.js";

/** A clip: frames, and height and width in latent cells. */
export interface ClipSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}

/**
 * What a graph does with the features of the inner blocks: those that go into the last layer of the
 * last up block. "keep": it computes them and gives them out; "reuse": it is given them, so that only
 * the outermost layers are left of it.
 *
 * @source Ma et al. 2023, DeepCache (arXiv:2312.00858): features of deep blocks change little from a
 *   step to the next; the cut is its outermost one
 */
export type FeatureUse = "keep" | "reuse";

/** One UNet of a clip. */
export interface UnetSize extends ClipSize {
  /** Absent: nothing. */
  readonly features?: FeatureUse;
}

/**
 * sample [1, F, in_channels, h, w], timestep [1], encoder_hidden_states [1, 1, D],
 * added_time_ids [1, addedIdCount] -> out_sample [1, F, out_channels, h, w]; where it keeps features
 * also inner_features [F, C, h, w], which one that reuses them takes as an input.
 *
 * The batch is always 1: each guidance half is a run of its own, so that one node and a pair of
 * nodes compute the same bytes.
 *
 * @throws FarmError "checkpoint-invalid" when weights and config do not fit each other,
 *   "graph-shape-mismatch" when the config contradicts itself
 * @source UNetSpatioTemporalConditionModel.forward
 */
export function buildUnet(
  config: UnetConfig,
  weights: WeightIndex,
  size: UnetSize,
  variant?: GraphVariant,
): BuiltGraph {
  const { frames, height, width } = size;
  const g = new GraphBuilder("unet", variant);
  const w = Weights.root(g, "unet", weights);
  const ids = addedIdCount(config);
  const sample = g.input("sample", [1, frames, config.in_channels, height, width]);
  const timestep = g.input("timestep", [1]);
  const states = g.input("encoder_hidden_states", [1, 1, crossAttentionDim(config)]);
  const addedIds = g.input("added_time_ids", [1, ids]);

  const conditioning: Conditioning = {
    temb: timeEmbedding(w, config, timestep, reshape(addedIds, [ids])),
    context: toComputeType(reshape(states, [1, states.shape[2]!])),
  };
  let h = reshape(toComputeType(sample), [frames, config.in_channels, height, width]);
  h = conv3x3(w.at("conv_in"), h, config.block_out_channels[0]!);

  const skips = downBlocks(w, config, h, conditioning);
  const last = config.block_out_channels.length - 1;
  h = midBlock(w.at("mid_block"), attentionOf(config, last), skips.at(-1)!, conditioning);
  h = upBlocks(w, config, h, skips, conditioning, (inner) => useFeatures(inner, size.features));

  h = silu(groupNorm(w.at("conv_norm_out"), h, 1e-5));
  h = conv3x3(w.at("conv_out"), h, config.out_channels);
  g.output("out_sample", cast(reshape(h, [1, ...h.shape]), "float32"));

  return g.build(w.finish());
}

/** @param inner the features of this run [F, C, h, w] */
function useFeatures(inner: Value, use: FeatureUse | undefined): Value {
  const g = inner.graph;
  if (use === "reuse") return toComputeType(g.input("inner_features", inner.shape));
  if (use === "keep") g.output("inner_features", cast(inner, "float32"));
  return inner;
}

/** How many ids are added to the timestep: fps − 1, motion bucket and noise strength in SVD. */
function addedIdCount(config: UnetConfig): number {
  const { projection_class_embeddings_input_dim: total, addition_time_embed_dim: each } = config;
  if (total % each === 0) return total / each;
  const detail =
    `unet: projection_class_embeddings_input_dim ${total} ` +
    `must be a multiple of addition_time_embed_dim ${each}`;
  throw new FarmError("graph-shape-mismatch", detail);
}

/**
 * Width of the encoder hidden states: all blocks read the same ones. Levels without attention may
 * name any width; the mid block always attends.
 */
function crossAttentionDim(config: UnetConfig): number {
  return config.cross_attention_dim.at(-1)!;
}

/**
 * @param timestep [1]
 * @param addedIds [addedIdCount]
 * @returns [1, 4·block_out_channels[0]]
 */
function timeEmbedding(w: Weights, config: UnetConfig, timestep: Value, addedIds: Value): Value {
  const first = config.block_out_channels[0]!;
  const width = 4 * first;
  const time = timestepEmbedding(w.at("time_embedding"), timesteps(timestep, first), width, width);

  const ids = timesteps(addedIds, config.addition_time_embed_dim);
  const joined = reshape(ids, [1, config.projection_class_embeddings_input_dim]);
  return add(time, timestepEmbedding(w.at("add_embedding"), joined, width, width));
}

/** @returns every state that the up blocks will meet, in the order in which they are made */
function downBlocks(w: Weights, config: UnetConfig, x: Value, conditioning: Conditioning): Value[] {
  const skips = [x];
  for (const [i, type] of config.down_block_types.entries()) {
    const cfg = {
      outC: config.block_out_channels[i]!,
      layers: config.layers_per_block[i]!,
      attention: type === "CrossAttnDownBlockSpatioTemporal" ? attentionOf(config, i) : null,
      downsample: i < config.down_block_types.length - 1,
    };
    skips.push(...downBlock(w.at("down_blocks", i), cfg, skips.at(-1)!, conditioning));
  }
  return skips;
}

function upBlocks(
  w: Weights,
  config: UnetConfig,
  x: Value,
  skips: readonly Value[],
  conditioning: Conditioning,
  onInner: (features: Value) => Value,
): Value {
  const levels = config.block_out_channels.length;
  let left = skips;
  let h = x;
  for (const [i, type] of config.up_block_types.entries()) {
    const level = levels - 1 - i;
    const layers = config.layers_per_block[level]! + 1;
    const mine = left.slice(-layers);
    left = left.slice(0, -layers);
    // An odd size cannot be doubled to: the next block's skips say what the size was.
    const [, , height, width] = left.at(-1)?.shape ?? [];
    const cfg = {
      outC: config.block_out_channels[level]!,
      layers,
      attention: type === "CrossAttnUpBlockSpatioTemporal" ? attentionOf(config, level) : null,
      upsampleTo: i < levels - 1 ? { height: height!, width: width! } : null,
    };
    const isLast = i === levels - 1;
    h = upBlock(w.at("up_blocks", i), cfg, h, mine, conditioning, isLast ? onInner : undefined);
  }
  return h;
}

function attentionOf(config: UnetConfig, level: number): AttentionConfig {
  return {
    heads: config.num_attention_heads[level]!,
    layersOf: config.transformer_layers_per_block[level]!,
  };
}
