/**
 * @file The encoder of the VAE.
 *
 * @source diffusers models/autoencoders/vae.py, Encoder
 */
import type { VaeConfig } from "./configs/vae-config.js";
import type { Value } from "./graph-builder.js";
import { conv3x3, groupNorm, silu } from "./layers.js";
import type { Weights } from "./parameters.js";
import { downEncoderBlock2d, midBlock2d } from "./unet-2d-blocks.js";

/**
 * @param x pictures [N, in_channels, H, W]
 * @returns [N, 2·latent_channels, h, w], h and w halved (rounded down) at each level but the last
 * @source Encoder.forward with double_z = true
 */
export function vaeEncoder(w: Weights, config: VaeConfig, x: Value): Value {
  const channels = config.block_out_channels;
  let h = conv3x3(w.at("conv_in"), x, channels[0]!);
  for (const [i, type] of config.down_block_types.entries()) {
    const block = {
      outC: channels[i]!,
      layers: config.layers_per_block,
      attention: type === "AttnDownEncoderBlock2D",
      downsample: i < channels.length - 1,
    };
    h = downEncoderBlock2d(w.at("down_blocks", i), block, h);
  }
  h = midBlock2d(w.at("mid_block"), h);
  h = silu(groupNorm(w.at("conv_norm_out"), h, 1e-6));
  return conv3x3(w.at("conv_out"), h, 2 * config.latent_channels);
}
