/**
 * @file Residual blocks: within each frame, across frames, and the two blended.
 *
 * @source diffusers models/resnet.py
 */
import { assertNever } from "../../shared/core/assert.js";
import { elementCount } from "../../shared/tensor/tensor.js";
import type { Value } from "./graph-builder.js";
import { conv2d, conv3x3, groupNorm, linear, silu, temporalConv } from "./layers.js";
import { add, mul, sigmoid, sub } from "./ops-math.js";
import { reshape, transpose } from "./ops-shape.js";
import type { Weights } from "./parameters.js";

export interface ResnetConfig {
  readonly outC: number;
  /** Of the norms. */
  readonly eps: number;
}

/**
 * Two 3x3 convolutions around a time-embedding shift, plus a residual.
 *
 * @param x    hidden states [F, inC, H, W]
 * @param temb time embedding [1, tembC], the same for all frames; null in the VAE, which has none
 * @returns [F, outC, H, W]
 * @source ResnetBlock2D.forward (time_embedding_norm "default", output_scale_factor = 1)
 */
export function resnetBlock2d(w: Weights, cfg: ResnetConfig, x: Value, temb: Value | null): Value {
  let h = silu(groupNorm(w.at("norm1"), x, cfg.eps));
  h = conv3x3(w.at("conv1"), h, cfg.outC);
  if (temb !== null) {
    const shift = linear(w.at("time_emb_proj"), silu(temb), cfg.outC);
    h = add(h, reshape(shift, [1, cfg.outC, 1, 1]));
  }
  h = silu(groupNorm(w.at("norm2"), h, cfg.eps));
  h = conv3x3(w.at("conv2"), h, cfg.outC);
  const sameChannels = x.shape[1] === cfg.outC;
  const skip = sameChannels ? x : conv2d(w.at("conv_shortcut"), x, cfg.outC, { kernel: 1 });
  return add(skip, h);
}

/**
 * What TemporalResnetBlock adds to its input, times `share`: two convolutions over three frames
 * around a time-embedding shift. The norms take their statistics over all frames.
 *
 * @param x     hidden states [1, C, F, H·W]
 * @param temb  time embedding [1, tembC]; null in the VAE
 * @param share factor of the result, a constant [1]
 * @returns [1, C, F, H·W]
 * @source TemporalResnetBlock.forward (in_channels = out_channels, so no conv_shortcut)
 */
function temporalResnetBranch(
  w: Weights,
  cfg: ResnetConfig,
  x: Value,
  temb: Value | null,
  share: Value,
): Value {
  let h = silu(groupNorm(w.at("norm1"), x, cfg.eps));
  h = temporalConv(w.at("conv1"), h, cfg.outC);
  if (temb !== null) {
    const shift = linear(w.at("time_emb_proj"), silu(temb), cfg.outC);
    h = add(h, reshape(shift, [1, cfg.outC, 1, 1]));
  }
  h = silu(groupNorm(w.at("norm2"), h, cfg.eps));
  return temporalConv(w.at("conv2"), h, cfg.outC, share);
}

export interface SpatioTemporalConfig extends ResnetConfig {
  /** Of the norms across frames; the reference's default is `eps`. */
  readonly temporalEps: number;
  readonly blend: BlendConfig;
}

/**
 * The residual block within frames, then the one across frames, blended.
 *
 * The second adds r to its input s, so α·s + (1 − α)·(s + r) = s + (1 − α)·r: one factor, and it
 * goes into the weights of the last convolution.
 *
 * @param x    hidden states [F, inC, H, W]
 * @param temb time embedding [1, tembC]; null in the VAE
 * @returns [F, outC, H, W]
 * @source SpatioTemporalResBlock.forward
 */
export function spatioTemporalResBlock(
  w: Weights,
  cfg: SpatioTemporalConfig,
  x: Value,
  temb: Value | null,
): Value {
  const spatial = resnetBlock2d(w.at("spatial_res_block"), cfg, x, temb);
  const [frames, channels, height, width] = spatial.shape;
  const places = height! * width!;

  const framesLast = framesToHeight(spatial); // [1, C, F, H·W]
  const { share } = blendFactors(w.at("time_mixer"), cfg.blend);
  const temporalCfg = { outC: cfg.outC, eps: cfg.temporalEps };
  const branch = temporalResnetBranch(
    w.at("temporal_res_block"),
    temporalCfg,
    framesLast,
    temb,
    share,
  );

  const framesFirst = transpose(reshape(branch, [channels!, frames!, places]), [1, 0, 2]);
  return add(spatial, reshape(framesFirst, spatial.shape));
}

/**
 * Frames as the height of one picture, for convolutions and norms across frames.
 *
 * @param x [F, C, H, W]
 * @returns [1, C, F, H·W]
 */
export function framesToHeight(x: Value): Value {
  const [frames, channels] = x.shape;
  const places = elementCount(x.shape) / (frames! * channels!);
  const channelsFirst = transpose(reshape(x, [frames!, channels!, places]), [1, 0, 2]);
  return reshape(channelsFirst, [1, channels!, frames!, places]);
}

/** How a spatial and a temporal result become one. */
export interface BlendConfig {
  /** "learned_with_images" is "learned" for us: a clip has no frames that are single images. */
  readonly strategy: "learned" | "learned_with_images" | "fixed";
  /** Whether the factor belongs to the temporal result instead of the spatial one. */
  readonly switchSpatialToTemporalMix: boolean;
}

/** What the spatial and the temporal result are multiplied with: constants [1] that add up to 1. */
export interface BlendFactors {
  readonly alpha: Value;
  readonly share: Value;
}

/**
 * α·spatial + (1 − α)·temporal
 *
 * @source AlphaBlender.forward
 */
export function alphaBlend(factors: BlendFactors, spatial: Value, temporal: Value): Value {
  return add(mul(spatial, factors.alpha), mul(temporal, factors.share));
}

/** @source AlphaBlender.get_alpha with image_only_indicator = 0 */
export function blendFactors(w: Weights, cfg: BlendConfig): BlendFactors {
  const factor = w.take("mix_factor", [1]);
  const [mixed, rest] = complements(factor, cfg.strategy);
  return cfg.switchSpatialToTemporalMix
    ? { alpha: rest, share: mixed }
    : { alpha: mixed, share: rest };
}

/** A factor and what it lacks to 1. */
function complements(factor: Value, strategy: BlendConfig["strategy"]): [Value, Value] {
  const g = factor.graph;
  switch (strategy) {
    case "learned":
    case "learned_with_images":
      return [sigmoid(factor), sigmoid(mul(factor, g.floats([1], [-1])))];
    case "fixed":
      return [factor, sub(g.floats([1], [1]), factor)];
    default:
      return assertNever(strategy);
  }
}
