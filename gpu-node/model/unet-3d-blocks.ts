/**
 * @file The blocks of the UNet and of the VAE's decoder that see a whole clip.
 *
 * @source diffusers models/unets/unet_3d_blocks.py
 */
import { attentionBlock } from "./attention.js";
import { downsample2d } from "./downsampling.js";
import type { Value } from "./graph-builder.js";
import { concat } from "./ops-shape.js";
import type { Weights } from "./parameters.js";
import { type SpatioTemporalConfig, spatioTemporalResBlock } from "./resnet.js";
import { transformerSpatioTemporal } from "./transformer-temporal.js";
import { upsample2d } from "./upsampling.js";

/** What every block of the UNet reads beside its input. */
export interface Conditioning {
  /** Time embedding [1, tembC], the same for all frames. */
  readonly temb: Value;
  /** Encoder hidden states [1, D]. */
  readonly context: Value;
}

/** Attention after each residual block; null in a block without. */
export interface AttentionConfig {
  readonly heads: number;
  /** Transformer blocks of each layer; entries beyond the block's layers are not read. */
  readonly layersOf: readonly number[];
}

/** The UNet's residual block: one eps for both norms, blended by a learned factor. */
function unetResnet(outC: number, eps: number): SpatioTemporalConfig {
  const blend = { strategy: "learned_with_images", switchSpatialToTemporalMix: false } as const;
  return { outC, eps, temporalEps: eps, blend };
}

/** The VAE's: the factor starts at the temporal side. */
function vaeResnet(outC: number): SpatioTemporalConfig {
  const blend = { strategy: "learned", switchSpatialToTemporalMix: true } as const;
  return { outC, eps: 1e-6, temporalEps: 1e-5, blend };
}

export interface DownBlockConfig {
  readonly outC: number;
  readonly layers: number;
  readonly attention: AttentionConfig | null;
  readonly downsample: boolean;
}

/**
 * @param x [F, inC, H, W]
 * @returns the states that the up blocks will meet, in order; the last is the block's result
 * @source CrossAttnDownBlockSpatioTemporal (eps 1e-6), DownBlockSpatioTemporal (eps 1e-5)
 */
export function downBlock(
  w: Weights,
  cfg: DownBlockConfig,
  x: Value,
  conditioning: Conditioning,
): readonly Value[] {
  const resnet = unetResnet(cfg.outC, cfg.attention === null ? 1e-5 : 1e-6);
  const states: Value[] = [];
  let h = x;
  for (let i = 0; i < cfg.layers; i++) {
    h = spatioTemporalResBlock(w.at("resnets", i), resnet, h, conditioning.temb);
    h = attentionAfter(w, cfg.attention, i, h, conditioning);
    states.push(h);
  }
  if (cfg.downsample) states.push(downsample2d(w.at("downsamplers", 0), h, "both"));
  return states;
}

/**
 * @param x [F, C, H, W]
 * @returns [F, C, H, W]
 * @source UNetMidBlockSpatioTemporal with num_layers = 1
 */
export function midBlock(
  w: Weights,
  attention: AttentionConfig,
  x: Value,
  conditioning: Conditioning,
): Value {
  const resnet = unetResnet(x.shape[1]!, 1e-5);
  let h = spatioTemporalResBlock(w.at("resnets", 0), resnet, x, conditioning.temb);
  h = attentionAfter(w, attention, 0, h, conditioning);
  return spatioTemporalResBlock(w.at("resnets", 1), resnet, h, conditioning.temb);
}

export interface UpBlockConfig {
  readonly outC: number;
  readonly layers: number;
  readonly attention: AttentionConfig | null;
  /** Height and width after the block; null when it does not upsample. */
  readonly upsampleTo: { readonly height: number; readonly width: number } | null;
}

/**
 * @param x [F, C, H, W]
 * @param skips one state of the down blocks a layer, in the order in which they were made
 * @param onInner what goes into the last layer in place of what came there
 * @returns [F, outC, H', W']
 * @source CrossAttnUpBlockSpatioTemporal, UpBlockSpatioTemporal (both eps 1e-6: get_up_block does
 *   not hand its resnet_eps on)
 */
export function upBlock(
  w: Weights,
  cfg: UpBlockConfig,
  x: Value,
  skips: readonly Value[],
  conditioning: Conditioning,
  onInner: (features: Value) => Value = (features) => features,
): Value {
  const resnet = unetResnet(cfg.outC, 1e-6);
  let h = x;
  for (let i = 0; i < cfg.layers; i++) {
    if (i === cfg.layers - 1) h = onInner(h);
    const skip = skips[cfg.layers - 1 - i]!;
    h = concat([h, skip], 1);
    h = spatioTemporalResBlock(w.at("resnets", i), resnet, h, conditioning.temb);
    h = attentionAfter(w, cfg.attention, i, h, conditioning);
  }
  return cfg.upsampleTo === null ? h : upsample2d(w.at("upsamplers", 0), h, cfg.upsampleTo);
}

function attentionAfter(
  w: Weights,
  attention: AttentionConfig | null,
  layer: number,
  h: Value,
  conditioning: Conditioning,
): Value {
  if (attention === null) return h;
  const cfg = { heads: attention.heads, layers: attention.layersOf[layer]! };
  return transformerSpatioTemporal(w.at("attentions", layer), cfg, h, conditioning.context);
}

/**
 * Residual block, attention, residual block.
 *
 * The reference pairs its residual blocks after the first with its *one* attention, so blocks after
 * the second are in the checkpoint and never run; with a single block the attention never runs.
 * They are built here and their results dropped, which keeps their parameters accounted for; what
 * no output needs is not part of the finished graph.
 *
 * @param x [F, C, H, W]
 * @param layers residual blocks in the checkpoint, at least 1
 * @returns [F, C, H, W]
 * @source MidBlockTemporalDecoder
 */
export function midBlockTemporalDecoder(w: Weights, x: Value, layers: number): Value {
  const resnet = (i: number, h: Value): Value =>
    spatioTemporalResBlock(w.at("resnets", i), vaeResnet(x.shape[1]!), h, null);

  const first = resnet(0, x);
  const attended = attentionBlock(w.at("attentions", 0), first, 1e-6);
  if (layers === 1) return first;
  const second = resnet(1, attended);
  for (let i = 2; i < layers; i++) resnet(i, second);
  return second;
}

/**
 * @param x [F, inC, H, W]
 * @returns [F, outC, H, W], or twice the height and width
 * @source UpBlockTemporalDecoder
 */
export function upBlockTemporalDecoder(
  w: Weights,
  cfg: { readonly outC: number; readonly layers: number; readonly upsample: boolean },
  x: Value,
): Value {
  let h = x;
  for (let i = 0; i < cfg.layers; i++) {
    h = spatioTemporalResBlock(w.at("resnets", i), vaeResnet(cfg.outC), h, null);
  }
  if (!cfg.upsample) return h;
  const [, , height, width] = h.shape;
  return upsample2d(w.at("upsamplers", 0), h, { height: 2 * height!, width: 2 * width! });
}
