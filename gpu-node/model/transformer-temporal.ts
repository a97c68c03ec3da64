/**
 * @file Attention within frames and across frames, in turn.
 *
 * @source diffusers models/transformers/transformer_temporal.py
 */
import {
  basicTransformerBlock,
  type TokenLayout,
  temporalBasicTransformerBlock,
} from "./attention.js";
import { timestepEmbedding, timesteps } from "./embeddings.js";
import { shapeMismatch, type Value } from "./graph-builder.js";
import { groupNorm, linear } from "./layers.js";
import { add } from "./ops-math.js";
import { reshape, transpose } from "./ops-shape.js";
import type { Weights } from "./parameters.js";
import { alphaBlend, type BlendConfig, blendFactors } from "./resnet.js";

const NORM_EPS = 1e-6;

const BLEND: BlendConfig = {
  strategy: "learned_with_images",
  switchSpatialToTemporalMix: false,
};

export interface TransformerConfig {
  /** Divides the channels. */
  readonly heads: number;
  /** Pairs of a spatial and a temporal block. */
  readonly layers: number;
}

/**
 * @param x hidden states [F, C, H, W]
 * @param context encoder hidden states [1, D]
 * @returns [F, C, H, W]
 * @source TransformerSpatioTemporalModel.forward
 */
export function transformerSpatioTemporal(
  w: Weights,
  cfg: TransformerConfig,
  x: Value,
  context: Value,
): Value {
  const [frames, channels, height, width] = x.shape;
  if (channels! % cfg.heads !== 0) {
    const detail = `${channels} channels must be a multiple of ${cfg.heads} heads`;
    throw shapeMismatch("TransformerSpatioTemporalModel", [x], detail);
  }
  const places = height! * width!;
  const layout: TokenLayout = { frames: frames!, places, heads: cfg.heads };

  const flat = reshape(groupNorm(w.at("norm"), x, NORM_EPS), [frames!, channels!, places]);
  const tokens = reshape(transpose(flat, [0, 2, 1]), [frames! * places, channels!]);
  let h = linear(w.at("proj_in"), tokens, channels!);

  const position = framePositions(w, frames!, channels!); // [F, 1, C]
  const factors = blendFactors(w.at("time_mixer"), BLEND);
  for (let i = 0; i < cfg.layers; i++) {
    h = basicTransformerBlock(w.at("transformer_blocks", i), h, context, layout);
    const moved = add(reshape(h, [frames!, places, channels!]), position);
    const mixed = temporalBasicTransformerBlock(
      w.at("temporal_transformer_blocks", i),
      reshape(moved, h.shape),
      context,
      layout,
    );
    h = alphaBlend(factors, h, mixed);
  }

  h = linear(w.at("proj_out"), h, channels!);
  const back = transpose(reshape(h, [frames!, places, channels!]), [0, 2, 1]);
  return add(x, reshape(back, x.shape));
}

/**
 * An embedding of each frame's number: the same in every run, so the engine computes it at load.
 *
 * @returns a constant [F, 1, channels]
 */
function framePositions(w: Weights, frames: number, channels: number): Value {
  const numbers = w.graph.floats(
    [frames],
    Float32Array.from({ length: frames }, (_, i) => i),
    "float32",
  );
  const sinusoids = timesteps(numbers, channels);
  const embedded = timestepEmbedding(w.at("time_pos_embed"), sinusoids, 4 * channels, channels);
  return reshape(embedded, [frames, 1, channels]);
}
