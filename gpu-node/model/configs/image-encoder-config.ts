/** @file The configuration of the CLIP image encoder. */

/** `quick_gelu` is x · sigmoid(1.702 x); `gelu` the exact one, by erf. */
export type ClipActivation = "gelu" | "quick_gelu";

/**
 * `image_encoder/config.json`.
 *
 * @source transformers models/clip/configuration_clip.py, CLIPVisionConfig
 */
export interface ImageEncoderConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  /** Width of the embedding: the UNet's cross attention width. */
  readonly projection_dim: number;
  readonly num_hidden_layers: number;
  /** Divides `hidden_size`. */
  readonly num_attention_heads: number;
  readonly num_channels: number;
  /** Height and width of the picture, in pixels. */
  readonly image_size: number;
  /** Height and width of a patch, in pixels; a rest of `image_size` is not read. */
  readonly patch_size: number;
  readonly hidden_act: ClipActivation;
  readonly layer_norm_eps: number;
}
