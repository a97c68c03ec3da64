/**
 * @file The blocks of the VAE's encoder, which sees single pictures.
 *
 * @source diffusers models/unets/unet_2d_blocks.py
 */
import { attentionBlock } from "./attention.js";
import { downsample2d } from "./downsampling.js";
import type { Value } from "./graph-builder.js";
import type { Weights } from "./parameters.js";
import { resnetBlock2d } from "./resnet.js";

/** Of every norm in the encoder. */
const EPS = 1e-6;

export interface DownEncoderConfig {
  readonly outC: number;
  readonly layers: number;
  /** Whether attention, with one head, follows each residual block. */
  readonly attention: boolean;
  readonly downsample: boolean;
}

/**
 * @param x [N, inC, H, W]
 * @returns [N, outC, H, W], or half the height and width, rounded down
 * @source DownEncoderBlock2D.forward, AttnDownEncoderBlock2D.forward with downsample_padding = 0
 */
export function downEncoderBlock2d(w: Weights, cfg: DownEncoderConfig, x: Value): Value {
  let h = x;
  for (let i = 0; i < cfg.layers; i++) {
    h = resnetBlock2d(w.at("resnets", i), { outC: cfg.outC, eps: EPS }, h, null);
    if (cfg.attention) h = attentionBlock(w.at("attentions", i), h, EPS);
  }
  return cfg.downsample ? downsample2d(w.at("downsamplers", 0), h, "end") : h;
}

/**
 * @param x [N, C, H, W]
 * @returns [N, C, H, W]
 * @source UNetMidBlock2D.forward with num_layers = 1, add_attention = true
 */
export function midBlock2d(w: Weights, x: Value): Value {
  const cfg = { outC: x.shape[1]!, eps: EPS };
  let h = resnetBlock2d(w.at("resnets", 0), cfg, x, null);
  h = attentionBlock(w.at("attentions", 0), h, EPS);
  return resnetBlock2d(w.at("resnets", 1), cfg, h, null);
}
