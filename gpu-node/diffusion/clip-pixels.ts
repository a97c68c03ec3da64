/** @file A picture as the CLIP image encoder wants it. */
import { ANTIALIAS_SIDE_MIN, antialiasResize } from "./antialias-resize.js";
import type { RgbPicture } from "./rgb-picture.js";

/** Of the feature extractor's config, and the side that the encoder was made for. */
export interface ClipPixelsOptions {
  /** Pixels of each side; the reference always resizes to 224. */
  readonly size: number;
  /** `image_mean` and `image_std`: one number a channel, in 0..1. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** What CLIPImageProcessor takes for fields that a checkpoint leaves out. */
export const CLIP_PIXELS_DEFAULTS: ClipPixelsOptions = {
  size: 224,
  mean: [0.48145466, 0.4578275, 0.40821073],
  std: [0.26862954, 0.26130258, 0.27577711],
};

/**
 * Why a picture of this size has no CLIP pixels; null when it has. The reference fails on a side of
 * a single pixel too: there is nothing to mirror at its edge.
 */
export function clipPixelsSizeProblem(width: number, height: number): string | null {
  if (width >= ANTIALIAS_SIDE_MIN && height >= ANTIALIAS_SIDE_MIN) return null;
  return `picture of ${width}x${height} pixels; each side needs at least ${ANTIALIAS_SIDE_MIN}`;
}

/**
 * Resizes in -1..1 (as the original implementation did), goes back to 0..1, and normalizes.
 *
 * @param picture a size without `clipPixelsSizeProblem`
 * @returns Float32Array [3, size, size]
 * @source diffusers pipeline_stable_video_diffusion.py, _encode_image; transformers
 *   CLIPImageProcessor (do_normalize only)
 */
export function clipPixels(picture: RgbPicture, options: ClipPixelsOptions): Float32Array {
  const pixels = antialiasResize(picture, options.size, options.size);
  const plane = options.size * options.size;
  for (let channel = 0; channel < 3; channel++) {
    const mean = Math.fround(options.mean[channel]!);
    const std = Math.fround(options.std[channel]!);
    for (let i = channel * plane; i < (channel + 1) * plane; i++) {
      const unit = Math.fround(Math.fround(pixels[i]! + 1) / 2);
      pixels[i] = Math.fround(unit - mean) / std;
    }
  }
  return pixels;
}
