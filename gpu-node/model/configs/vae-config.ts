/** @file The configuration of the temporal VAE. */

export type VaeDownBlockType = "DownEncoderBlock2D";

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
