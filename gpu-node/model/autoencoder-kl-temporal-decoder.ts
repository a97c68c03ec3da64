/**
 * @file The two graphs of the VAE: a picture to latents, latents to frames.
 *
 * They use disjoint parts of one checkpoint. The encoder's graph must use up `encoder.*` and
 * `quant_conv.*`; the decoder's all the rest, so a parameter that neither knows is an error there.
 *
 * @source diffusers models/autoencoders/autoencoder_kl_temporal_decoder.py
 */
import type { VaeConfig } from "./configs/vae-config.js";
import type { BuiltGraph, GraphVariant } from "./graph.js";
import { GraphBuilder, type Value } from "./graph-builder.js";
import { conv2d, conv3x3, groupNorm, silu, temporalConv } from "./layers.js";
import { cast, toComputeType } from "./ops-math.js";
import { reshape, slice, transpose } from "./ops-shape.js";
import { partOfIndex, Weights } from "./parameters.js";
import { framesToHeight } from "./resnet.js";
import { midBlockTemporalDecoder, upBlockTemporalDecoder } from "./unet-3d-blocks.js";
import { vaeEncoder } from "./vae-encoder.js";
import type { WeightIndex } from "./weights.js";

/**
 * x [1, in_channels, height, width] in -1..1 -> mode [1, latent_channels, h, w], not multiplied by
 * the scaling factor.
 *
 * @param size of the picture, in pixels
 * @throws FarmError "checkpoint-invalid" when weights and config do not fit each other
 * @source AutoencoderKLTemporalDecoder.encode, DiagonalGaussianDistribution.mode
 */
export function buildVaeEncoder(
  config: VaeConfig,
  weights: WeightIndex,
  size: { readonly height: number; readonly width: number },
  variant?: GraphVariant,
): BuiltGraph {
  const g = new GraphBuilder("vae encoder", variant);
  const w = Weights.root(g, "vae", partOfIndex(weights, isEncoders));
  const x = g.input("x", [1, config.in_channels, size.height, size.width]);

  const latents = config.latent_channels;
  const encoded = vaeEncoder(w.at("encoder"), config, toComputeType(x));
  const moments = conv2d(w.at("quant_conv"), encoded, 2 * latents, { kernel: 1 });
  g.output("mode", cast(slice(moments, 1, 0, latents), "float32")); // the rest are logarithms of variances

  return g.build(w.finish());
}

/** A chunk of frames to decode: how many, and height and width in latent cells. */
export interface LatentChunkSize {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
}

/**
 * z [F, latent_channels, h, w], already divided by the scaling factor -> sample [F, out_channels,
 * H, W], h and w doubled at each level but the last. The frames of a chunk see each other.
 *
 * @throws FarmError "checkpoint-invalid" when weights and config do not fit each other
 * @source AutoencoderKLTemporalDecoder.decode
 */
export function buildVaeDecoder(
  config: VaeConfig,
  weights: WeightIndex,
  size: LatentChunkSize,
  variant?: GraphVariant,
): BuiltGraph {
  const g = new GraphBuilder("vae decoder", variant);
  const part = partOfIndex(weights, (name) => !isEncoders(name));
  const w = Weights.root(g, "vae", part);
  const z = g.input("z", [size.frames, config.latent_channels, size.height, size.width]);

  const sample = temporalDecoder(w.at("decoder"), config, toComputeType(z));
  g.output("sample", cast(sample, "float32"));

  return g.build(w.finish());
}

function isEncoders(name: string): boolean {
  return name.startsWith("encoder.") || name.startsWith("quant_conv.");
}

/** @source TemporalDecoder.forward */
function temporalDecoder(w: Weights, config: VaeConfig, z: Value): Value {
  const channels = config.block_out_channels.toReversed();
  const layers = config.layers_per_block;
  let h = conv3x3(w.at("conv_in"), z, channels[0]!);
  h = midBlockTemporalDecoder(w.at("mid_block"), h, layers);
  for (const [i, outC] of channels.entries()) {
    const block = { outC, layers: layers + 1, upsample: i < channels.length - 1 };
    h = upBlockTemporalDecoder(w.at("up_blocks", i), block, h);
  }
  h = silu(groupNorm(w.at("conv_norm_out"), h, 1e-6));
  h = conv3x3(w.at("conv_out"), h, config.out_channels);

  const [frames, colours, height, width] = h.shape;
  const smoothed = temporalConv(w.at("time_conv_out"), framesToHeight(h), colours!);
  const planes = reshape(smoothed, [colours!, frames!, height! * width!]);
  return reshape(transpose(planes, [1, 0, 2]), h.shape);
}
