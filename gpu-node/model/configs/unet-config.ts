/** @file The configuration of the UNet, every field of the reference with one value per level. */

export type UnetDownBlockType = "CrossAttnDownBlockSpatioTemporal" | "DownBlockSpatioTemporal";
export type UnetUpBlockType = "CrossAttnUpBlockSpatioTemporal" | "UpBlockSpatioTemporal";

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
